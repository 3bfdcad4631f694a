"""Encodes the shards that prepare.py has drawn: shard-NNNNN.z.npy, float16 [N, 16, high / 8, wide / 8], of mean 0 and
deviation 1. Goes on where it stopped."""
import argparse
import glob
import os

import numpy as np
import torch

import model
from train_vae import load


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--vae", required=True, help="vae.pt of train_vae.py")
    p.add_argument("--pool", required=True)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    vae, mean, std = load(a.vae)
    paths = [s[:-7] for s in sorted(glob.glob(os.path.join(a.pool, "*.scenes"))) if not os.path.exists(s[:-7] + ".z.npy")]
    for i, path in enumerate(paths):
        x = np.load(path + ".npy", mmap_mode="r")
        z = []
        for k in range(0, len(x), 8):
            y = torch.from_numpy(x[k:k + 8].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
            with torch.no_grad(), model.mixed():  # half a percent of a deviation, 2.6 times the speed
                z.append(((vae.encode(y.contiguous(memory_format=torch.channels_last)).latent_dist.mode().float() - mean) / std).half())
        np.save(path + ".tmp.npy", torch.cat(z).numpy())
        os.replace(path + ".tmp.npy", path + ".z.npy")
        print(f"{i + 1} of {len(paths)}", flush=True)


if __name__ == "__main__":
    main()
