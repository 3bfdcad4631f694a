"""Runs one case through diffusers' ZImagePipeline and records what its modules put out.

Nothing is computed here: every tensor is an argument or a result of a module of diffusers or
transformers, caught by a hook. With guidance a pass holds the positive prompt and the negative one
as a batch of two; what is recorded of blocks is the positive one, its own tokens only.
"""
import numpy
import torch

STAGES = {
    # what a case stores besides ids, sigmas and the chosen latents
    "encoder", "features", "dit", "dit-output", "vae", "decoded", "image",
}


class Recorder:
    def __init__(self, pipe):
        self.tensors, self.handles, self.ids, self.passes = {}, [], [], 0
        self.pipe = pipe
        encoder, dit, vae = pipe.text_encoder, pipe.transformer, pipe.vae
        self.before(encoder, self.encoder_input, with_kwargs=True)
        self.after(encoder.embed_tokens, lambda out: self.encoder_output("encoder.embed", out))
        for i, layer in enumerate(encoder.layers[:-1]):
            self.after(layer, lambda out, i=i: self.encoder_output(f"encoder.layer.{i}", out))

        self.before(dit, self.dit_input)
        self.after(dit.t_embedder, lambda out: self.first("dit.t_emb", out[0]))
        for stage, blocks, length in (("noise_refiner", dit.noise_refiner, self.image_tokens),
                                      ("context_refiner", dit.context_refiner, self.caption_tokens),
                                      ("layers", dit.layers, self.all_tokens)):
            for i, block in enumerate(blocks):
                self.after(block, lambda out, n=f"dit.{stage}.{i}", s=length:
                           self.first(n, out[0, :s()]))
        self.before(dit.noise_refiner[0], lambda args: self.first(
            "dit.x_embedder", args[0][0, :self.image_tokens()]))
        self.before(dit.context_refiner[0], lambda args: self.first(
            "dit.cap_embedder", args[0][0, :self.caption_tokens()]))
        self.after(dit.all_final_layer["2-1"], lambda out: self.first(
            "dit.final_layer", out[0, :self.image_tokens()]))
        self.after(dit, self.dit_output)

        self.after(vae.decoder.conv_in, lambda out: self.put("vae.conv_in", out[0]))
        self.after(vae.decoder.mid_block, lambda out: self.put("vae.mid", out[0]))
        for i, block in enumerate(vae.decoder.up_blocks):
            self.after(block, lambda out, i=i: self.put(f"vae.up.{i}", out[0]))
        self.after(vae.decoder, lambda out: self.put("decoded", out))

    # hooks

    def before(self, module, call, with_kwargs=False):
        hook = (lambda m, args, kwargs: call(kwargs)) if with_kwargs else (lambda m, args: call(args))
        self.handles.append(module.register_forward_pre_hook(hook, with_kwargs=with_kwargs))

    def after(self, module, call):
        self.handles.append(module.register_forward_hook(lambda m, args, out: call(out)))

    def close(self):
        for handle in self.handles:
            handle.remove()

    def put(self, name, value):
        assert value.dtype in (torch.float32, torch.int64), (name, value.dtype)
        self.tensors[name] = value.detach().contiguous().clone()

    def first(self, name, value):
        if self.passes == 1:
            self.put(name, value)

    # text: the positive prompt is encoded first, the negative one, if any, second

    def encoder_input(self, kwargs):
        valid = kwargs["attention_mask"][0].bool()
        self.ids.append(kwargs["input_ids"][0][valid])
        self.put("ids" if len(self.ids) == 1 else "ids_negative", self.ids[-1])

    def encoder_output(self, name, out):
        out = out[0] if isinstance(out, tuple) else out
        out = out[0, :len(self.ids[-1])]  # padding is on the right
        if len(self.ids) == 1:
            self.put(name, out)

    # transformer

    def dit_input(self, args):
        self.passes += 1
        if self.passes == 1:
            latents, _, features = args[:3]
            self.latent = latents[0]
            self.put("features", features[0])
            if len(self.ids) == 2:
                self.put("features_negative", features[-1])
            images = len(latents) // len(self.ids)
            self.put("latents.0", squeeze(torch.stack(latents[:images])[:, :, 0]))

    def image_tokens(self):
        _, _, height, width = self.latent.shape
        return up(height // 2 * (width // 2))

    def caption_tokens(self):
        return up(len(self.ids[0]))

    def all_tokens(self):
        return self.image_tokens() + self.caption_tokens()

    def dit_output(self, out):
        if self.passes > 1:  # also: a pass that cfg_truncation leaves without the negative prompt
            return
        images = len(out[0]) // len(self.ids)
        self.first("dit.output", squeeze(torch.stack(out[0][:images])[:, :, 0]))
        if len(self.ids) == 2:
            self.first("dit.output_negative", squeeze(torch.stack(out[0][images:])[:, :, 0]))


def up(tokens):
    return -(-tokens // 32) * 32


def squeeze(value):
    return value[0] if value.shape[0] == 1 else value


def run(pipe, case):
    """Returns every recorded tensor of the case by name."""
    recorder = Recorder(pipe)

    def after_step(_, step, __, values):
        recorder.put(f"latents.{step + 1}", squeeze(values["latents"]))
        return {}

    count = case["count"]
    generators = [torch.Generator().manual_seed(case["seed"] + i) for i in range(count)]
    try:
        images = pipe(
            prompt=case["prompt"], negative_prompt=case["negative"], height=case["height"],
            width=case["width"], num_inference_steps=case["steps"], guidance_scale=case["cfg"],
            cfg_truncation=case.get("cfg_truncation", 1.0),
            cfg_normalization=case.get("cfg_normalization", False),
            num_images_per_prompt=count, generator=generators, output_type="pil",
            callback_on_step_end=after_step).images
    finally:
        recorder.close()
    out = recorder.tensors
    out["sigmas"] = pipe.scheduler.sigmas.clone()
    out["decoded"] = squeeze(out["decoded"])
    out["image"] = squeeze(torch.stack([torch.from_numpy(numpy.array(i)) for i in images]))
    return out


def choose(tensors, case, stages, latents):
    """The part of a case that is stored."""
    assert stages <= STAGES, stages
    wanted = {"ids", "ids_negative", "sigmas"} | {f"latents.{k}" for k in latents}
    if "encoder" in stages:
        wanted |= {name for name in tensors if name.startswith("encoder.")}
    if {"encoder", "features"} & stages:
        wanted |= {"features", "features_negative"}
    if "dit" in stages:
        wanted |= {name for name in tensors if name.startswith("dit.")}
    if "dit-output" in stages:
        wanted |= {"dit.output", "dit.output_negative"}
    if "vae" in stages:
        wanted |= {name for name in tensors if name.startswith("vae.")}
    wanted |= {"decoded", "image"} & stages
    return {name: value for name, value in tensors.items() if name in wanted}


def run_vae_encode(pipe, case):
    """The VAE's encoder on a picture in [-1, 1]."""
    generator = torch.Generator().manual_seed(case["seed"])
    coarse = torch.randn(1, 3, case["height"] // 8, case["width"] // 8, generator=generator)
    picture = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear").clamp(-1, 1)
    with torch.no_grad():
        distribution = pipe.vae.encode(picture).latent_dist
    config = pipe.vae.config
    mean = (distribution.mode() - config.shift_factor) * config.scaling_factor
    return {"vae_encode.input": picture[0], "vae_encode.moments": distribution.parameters[0],
            "vae_encode.mean": mean[0]}
