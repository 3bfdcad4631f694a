"""Makes the sample grid of the model card with `mebi generate`: one picture for each prompt, seeds not chosen."""
import argparse
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image

PROMPTS = """
纯白背景,一个红色苹果 | a cat on the grass | 夜空中的一个火箭 | two pink tulips | 海底的一只章鱼 | a green apple and a yellow lemon on a blue background
一只蓝色的狗,黄色背景 | a panda | 三颗草莓,白色背景 | a purple dragon on a gray background | 沙滩上的一把雨伞 | a teapot, glossy style
a blue cube on a yellow background | 一只企鹅和一个雪人在雪地里 | three red cars on a white background | 一座城堡,粉色背景 | a fox on a green background | 一杯咖啡,棕色背景
an orange butterfly and a sunflower | 一个蓝色的气球在天空中 | a guitar on a yellow background | 两只小鸡,绿色背景 | a sailing boat at sea | 一个紫色的蘑菇在草地上
"""
SIDE = 192


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--mebi", default="build/mebi")
    p.add_argument("--model", default="models/mini")
    p.add_argument("--out", default="models/mini/samples.png")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    rows = [[t.strip() for t in line.split("|")] for line in PROMPTS.strip().splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        def picture(text):
            path = os.path.join(folder, "a.png")
            subprocess.run([a.mebi, "generate", "-m", a.model, "-p", text, "--seed", str(a.seed), "--quiet", "-o", path],
                           check=True, stdout=subprocess.DEVNULL)
            image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            os.remove(path)
            return np.asarray(image)
        grid = np.concatenate([np.concatenate([picture(t) for t in row], 1) for row in rows])
    Image.fromarray(grid).save(a.out, optimize=True)


if __name__ == "__main__":
    main()
