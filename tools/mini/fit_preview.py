"""Fits the map from latents to colours that previews are made with, by least squares between an autoencoder's latents of
pictures and their pixels in 8x8 means, and says what share of held-out pictures' variance it has (R^2). Without the file
that it writes mebi finds such a map from the decoder alone; --compare says how good that one is."""
import argparse
import json
import os
import random

import numpy
import torch

import scenes


def pairs(vae, pictures):
    """[n, 17] latents with a 1 behind them, [n, 3] colours in 0..1."""
    scaling, shift, z = vae.config.scaling_factor, vae.config.shift_factor, []
    with torch.no_grad():
        for i in range(0, len(pictures), 4):
            z.append((vae.encode(pictures[i:i + 4] * 2 - 1).latent_dist.mode() - shift) * scaling)
    z = torch.cat(z)
    colours = torch.nn.functional.avg_pool2d(pictures, pictures.shape[-1] // z.shape[-1])
    rows = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1]).double().numpy()
    return (numpy.concatenate([rows, numpy.ones((len(rows), 1))], 1),
            colours.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy())


def r2(rows, colours, factors):
    return 1 - ((rows @ factors - colours) ** 2).sum() / ((colours - colours.mean(0)) ** 2).sum()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--vae", default="models/mini/vae", help="folder of an AutoencoderKL")
    p.add_argument("--out", help="file to write; default: preview.json in that folder")
    p.add_argument("--count", type=int, default=96, help="pictures to fit; a third as many are held out")
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--compare", help="another such file, to be judged only")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    from diffusers import AutoencoderKL
    vae = AutoencoderKL.from_pretrained(a.vae).eval()
    rng = random.Random(a.seed)
    pictures = torch.stack([torch.from_numpy(scenes.draw(scenes.random_scene(rng, a.size, a.size)))
                            for _ in range(a.count + a.count // 3)]).permute(0, 3, 1, 2)
    rows, colours = pairs(vae, pictures[:a.count])
    held_rows, held_colours = pairs(vae, pictures[a.count:])
    factors = numpy.linalg.lstsq(rows, colours, rcond=None)[0]
    print(f"R^2: {r2(rows, colours, factors):.4f} fitted, {r2(held_rows, held_colours, factors):.4f} held out")
    if a.compare:
        with open(a.compare) as f:
            other = numpy.array(json.load(f)["factors"]).T
        print(f"R^2 of {a.compare}: {r2(held_rows, held_colours, other):.4f} held out")
    out = a.out or os.path.join(a.vae, "preview.json")
    with open(out, "w") as f:
        lines = ",\n    ".join(json.dumps([round(float(v), 6) for v in row]) for row in factors.T)
        f.write(f'{{\n  "format": 1,\n  "channels": {rows.shape[1] - 1},\n  "factors": [\n    {lines}\n  ]\n}}\n')


if __name__ == "__main__":
    main()
