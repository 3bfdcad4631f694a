"""The shards that prepare.py has drawn: pictures and their scenes. More may appear while they are read."""
import glob
import os
import pickle

import numpy as np


class Pictures:
    def __init__(self, folder):
        self.folder, self.shards = folder, []
        self.refresh()

    def refresh(self):
        for path in sorted(glob.glob(os.path.join(self.folder, "*.scenes")))[len(self.shards):]:
            with open(path, "rb") as f:
                self.shards.append((np.load(path[:-7] + ".npy", mmap_mode="r"), pickle.load(f)))

    def picture(self, rng):
        """(high, wide, 3) uint8 and its scene."""
        pictures, scenes = rng.choice(self.shards)
        i = rng.randrange(len(scenes))
        return pictures[i], scenes[i]


class Latents:
    """What latents.py has encoded. Batches are of one size."""

    def __init__(self, folder):
        self.folder, self.shards = folder, {}
        self.refresh()

    def refresh(self):
        for path in sorted(glob.glob(os.path.join(self.folder, "*.z.npy"))):
            if path not in self.shards:
                with open(path[:-6] + ".scenes", "rb") as f:
                    self.shards[path] = np.load(path, mmap_mode="r"), pickle.load(f)
        self.sizes = {}
        for z, scenes in self.shards.values():
            self.sizes.setdefault(z.shape[2:], []).append((z, scenes))

    def count(self):
        return sum(len(s) for _, s in self.shards.values())

    def batch(self, rng, count, native):
        """(count, 16, h, w) float32 and the scenes; with `native` of 32 x 32, otherwise of any size."""
        size = (32, 32) if native or len(self.sizes) == 1 else rng.choice([k for k in self.sizes if k != (32, 32)])
        rows = []
        for _ in range(count):
            z, scenes = rng.choice(self.sizes[size])
            i = rng.randrange(len(scenes))
            rows.append((z[i], scenes[i]))
        return np.stack([r[0] for r in rows]).astype(np.float32), [r[1] for r in rows]
