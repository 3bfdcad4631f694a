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
