"""What each thing looks like to the DiT, in CODE numbers: its latents' strongest components. They are where the encoder's
vocabulary starts, and what the encoder has to say of a thing: what is linear in features, a few layers can put into a picture.

    python codes.py --vae work/vae/vae.pt --out work/codes.pt
"""
import argparse
import os

import numpy as np
import torch

import artwork
import scenes
import train_vae

CODE = 144
SIDE, MARGIN = scenes.SIDES["normal"], 20  # pixels of a thing, and of the gray around it: whole latents
EVEN = 0.5  # 1 leaves components as strong as they are in latents, 0 makes all equally strong


def things():
    """[(style, index, colour)]: all that scenes can hold."""
    return [(style, i, colour) for style, name in enumerate(artwork.STYLES)
            for i in range(0, len(artwork.names()), scenes.SECOND_STYLE if style else 1)
            if artwork.drawn(name, i) for colour in (None, *artwork.colours_for(name, i))]


def picture(style, index, colour):
    """(SIDE + 2 MARGIN, same, 3) in [-1, 1]."""
    im = np.zeros((SIDE + 2 * MARGIN, SIDE + 2 * MARGIN, 3), np.float32)
    part, p = im[MARGIN:-MARGIN, MARGIN:-MARGIN], artwork.picture(artwork.STYLES[style], index, colour, SIDE)
    part[:] = 2 * p[..., :3] - p[..., 3:]
    return im


def components(latents):
    """(N, ...) -> (N, CODE), of mean square one."""
    z = latents.float().flatten(1)
    z = z - z.mean(0)
    _, s, v = torch.pca_lowrank(z, CODE + 16, center=False, niter=4)
    code = z @ v[:, :CODE] / s[:CODE] ** (1 - EVEN)
    return code / code.pow(2).mean().sqrt()


def load(path):
    """{(style, index, colour): (CODE,)}."""
    ck = torch.load(path)
    return dict(zip(ck["things"], ck["codes"]))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--vae", required=True, help="vae.pt of train_vae.py")
    p.add_argument("--out", required=True, help="codes.pt")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(a.threads)
    vae, mean, std = train_vae.load(a.vae)
    todo, z = things(), []
    for k in range(0, len(todo), 8):
        x = torch.from_numpy(np.stack([picture(*t) for t in todo[k:k + 8]])).permute(0, 3, 1, 2)
        with torch.no_grad():
            z.append((vae.encode(x.contiguous(memory_format=torch.channels_last)).latent_dist.mode() - mean) / std)
        if k % 400 == 0:
            print(f"{k} of {len(todo)}", flush=True)
    torch.save(dict(things=todo, codes=components(torch.cat(z))), a.out + ".tmp")
    os.replace(a.out + ".tmp", a.out)


if __name__ == "__main__":
    main()
