"""Schedules and random numbers: the two tables that are not about a model."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = (5, 16, 37, 1000, 2048)
SEEDS = {0: SIZES, 42: SIZES, 1234567890: SIZES, (7 << 32) + 43: (5, 37)}


def number(value):
    """The shortest decimal that reads back as the same f32."""
    import numpy
    return float(str(numpy.float32(value)))


def sigmas(shift=3.0, counts=(1, 4, 8, 9, 20, 40)):
    """Through the pipeline's own functions, as its __call__ uses them."""
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.z_image import pipeline_z_image as pipeline

    out = {"shift": shift, "num_train_timesteps": 1000, "steps": {}}
    for count in counts:
        scheduler = FlowMatchEulerDiscreteScheduler(
            num_train_timesteps=1000, shift=shift, use_dynamic_shifting=False)
        base = pipeline.get_default_z_image_sigmas(count)
        timesteps, steps = pipeline.retrieve_timesteps(
            scheduler, count, "cpu", sigmas=base, mu=pipeline.calculate_shift(256))
        assert steps == count
        out["steps"][str(count)] = {
            "sigmas": [number(v) for v in scheduler.sigmas.tolist()],
            "timesteps": [number(v) for v in timesteps.tolist()],
            # what the transformer is called with, before its own t_scale
            "model_times": [number(v) for v in ((1000 - timesteps) / 1000).tolist()],
        }
    return out


def randn_child(label, path):
    import torch
    from safetensors.torch import save_file
    torch.set_num_threads(1)
    out = {}
    for seed, sizes in SEEDS.items():
        for size in sizes:
            generator = torch.Generator().manual_seed(seed)
            out[f"{label}.{seed}.{size}"] = torch.randn(size, generator=generator)
    save_file(out, path)


def randn():
    """torch picks its vectorised or its plain loop by processor; each is asked for by name."""
    from safetensors.torch import load_file
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, capability in (("scalar", "default"), ("avx2", "avx2")):
            path = Path(folder) / f"{label}.safetensors"
            subprocess.run([sys.executable, __file__, label, str(path)], check=True,
                           env={**os.environ, "ATEN_CPU_CAPABILITY": capability})
            out.update(load_file(path))
    return out


def randn_report(table):
    """Largest distance between the two loops, in units in the last place."""
    import torch
    worst, differing, total = 0, 0, 0
    for name, scalar in table.items():
        if name.startswith("scalar."):
            vector = table[name.replace("scalar", "avx2")]
            distance = (scalar.view(torch.int32).long() - vector.view(torch.int32).long()).abs()
            worst = max(worst, int(distance.max()))
            differing += int((distance > 0).sum())
            total += distance.numel()
    return f"randn: {differing} of {total} values differ between the loops, by {worst} ulp at most"


if __name__ == "__main__":
    randn_child(*sys.argv[1:])
