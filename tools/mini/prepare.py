"""Draws training pictures in shards: shard-NNNNN.npy (uint8, [N, high, wide, 3]) and shard-NNNNN.scenes (pickle).
All pictures of a shard have one size. Goes on where it stopped; several may run at once, each with its --part."""
import argparse
import os
import pickle
import random
import time

import numpy as np

import scenes

COUNT, OTHERS = 256, 96  # pictures of a shard of the native size, and of another
OTHER_SIZES = [(192, 192), (320, 192), (192, 320), (320, 320), (256, 192), (128, 128), (192, 256)]  # of every fourth shard, in turn


def shard(folder, number, seed):
    path = os.path.join(folder, f"shard-{number:05d}")
    if os.path.exists(path + ".scenes"):
        return False
    rng = random.Random(seed * 1000003 + number)
    wide, high = OTHER_SIZES[number // 4 % len(OTHER_SIZES)] if number % 4 == 3 else (256, 256)
    count = COUNT if wide == high == 256 else OTHERS
    drawn = [scenes.random_scene(rng, wide, high) for _ in range(count)]
    pictures = np.stack([(scenes.draw(s) * 255 + 0.5).clip(0, 255).astype(np.uint8) for s in drawn])
    np.save(path + ".tmp.npy", pictures)
    os.replace(path + ".tmp.npy", path + ".npy")
    with open(path + ".tmp", "wb") as f:
        pickle.dump(drawn, f)
    os.replace(path + ".tmp", path + ".scenes")
    return True


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    p.add_argument("--shards", type=int, default=72)
    p.add_argument("--part", default="0/1", help="I/N: only shards whose number modulo N is I")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    i, n = map(int, a.part.split("/"))
    start = time.time()
    for number in range(i, a.shards, n):
        if shard(a.out, number, a.seed):
            print(f"shard {number} of {a.shards}, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
