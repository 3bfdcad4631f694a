"""Scenes and the Chinese and English captions that describe them."""
import random
import zlib
from dataclasses import dataclass

from draw import BACKGROUNDS, COLOURS, KINDS, NATURAL, PLACES, SIZES

ZH_COLOUR = dict(red="红", orange="橙", yellow="黄", green="绿", blue="蓝", purple="紫",
                 pink="粉", brown="棕", white="白")
# Names, and the measure words that go with them besides 一个.
ZH_KIND = dict(
    apple=(["苹果"], ["一颗"]), cube=(["立方体", "方块"], ["一块"]), ball=(["球", "圆球"], ["一颗"]),
    star=(["星星", "五角星"], ["一颗"]), heart=(["爱心", "心形"], ["一颗"]), tree=(["树", "大树"], ["一棵"]),
    house=(["房子", "小屋"], ["一座", "一栋"]), car=(["汽车", "小车"], ["一辆"]), fish=(["鱼", "小鱼"], ["一条"]),
    flower=(["花", "花朵"], ["一朵"]), cup=(["杯子", "茶杯"], ["一只"]), mushroom=(["蘑菇"], ["一朵"]),
    moon=(["月亮", "弯月"], ["一轮"]), cat=(["猫", "小猫"], ["一只"]))
EN_KIND = dict(
    apple=["apple"], cube=["cube", "block"], ball=["ball", "sphere"], star=["star"], heart=["heart"],
    tree=["tree", "pine tree"], house=["house"], car=["car"], fish=["fish"], flower=["flower"],
    cup=["cup", "mug"], mushroom=["mushroom"], moon=["moon", "crescent moon"], cat=["cat", "cat face"])
ZH_SIZE = dict(small=["很小的", "小小的"], big=["很大的", "巨大的"])
EN_SIZE = dict(small=["small", "tiny"], big=["big", "large"])
ZH_PLACE = dict(left=["在左边", "在左侧"], right=["在右边", "在右侧"], top=["在上方", "在上边"], bottom=["在下方", "在下边"])
EN_PLACE = dict(left=["on the left"], right=["on the right"], top=["at the top"], bottom=["at the bottom"])


@dataclass(frozen=True)
class Scene:
    kind: str
    colour: str
    background: str
    size: str | None = None
    place: str | None = None


def held_out(kind, colour, background):
    """About 15 % of the combinations are never drawn for training; the first picture a user makes is."""
    if (kind, colour, background) == ("apple", "red", "white"):
        return False
    return zlib.crc32(f"{kind}|{colour}|{background}".encode()) % 100 < 15


def combinations(held):
    return [(k, c, b) for k in KINDS for c in COLOURS for b in BACKGROUNDS
            if b != c and held_out(k, c, b) == held]


def train_scenes(count, seed, extras=0.2):
    """Balanced over the training combinations; a share `extras` has size or place words.

    White backgrounds count threefold: they are what a caption without a background means.
    """
    rng = random.Random(seed)
    combos = [x for x in combinations(False) for _ in range(3 if x[2] == "white" else 1)]
    out = []
    while len(out) < count:
        rng.shuffle(combos)
        for k, c, b in combos:
            size = place = None
            if rng.random() < extras:
                what = rng.random()
                size = rng.choice(["small", "big"]) if what < 0.6 else None
                place = rng.choice(list(PLACES)[1:]) if what >= 0.45 else None
            out.append(Scene(k, c, b, size, place))
    return out[:count]


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def chinese(s, rng, plain=False):
    names, measures = ZH_KIND[s.kind]
    name = names[0] if plain or rng.random() < 0.65 else rng.choice(names)
    number = "一个" if plain or rng.random() < 0.6 else rng.choice(measures)
    natural = not plain and s.colour == NATURAL[s.kind] and rng.random() < 0.1
    colour = "" if natural else ZH_COLOUR[s.colour] + rng.choice(["色", "色", "色的"])
    size = rng.choice(ZH_SIZE[s.size]) if s.size else ""
    thing = number + size + colour + name
    if s.place:
        thing += rng.choice(ZH_PLACE[s.place])
    if s.background == "white":
        if not plain and rng.random() < 0.3:
            return thing
        ground = rng.choice(["纯白背景", "纯白背景", "白色背景", "纯白色背景"])
    else:
        c = ZH_COLOUR[s.background]
        ground = rng.choice([c + "色背景", c + "色背景", "纯" + c + "色背景"])
    comma = rng.choice([",", "，"])
    return rng.choice([ground + comma + thing, ground + comma + thing, thing + comma + ground,
                       ground + "上的" + thing, ground + "上有" + thing])


def english(s, rng, plain=False):
    names = EN_KIND[s.kind]
    name = names[0] if plain or rng.random() < 0.65 else rng.choice(names)
    natural = not plain and s.colour == NATURAL[s.kind] and rng.random() < 0.1
    words = [rng.choice(EN_SIZE[s.size])] if s.size else []
    thing = " ".join(words + ([] if natural else [s.colour]) + [name])
    if plain or rng.random() < 0.85:
        thing = article(thing)
    if s.place:
        thing += " " + rng.choice(EN_PLACE[s.place])
    if s.background == "white":
        if not plain and rng.random() < 0.3:
            return thing
        ground = rng.choice(["white", "white", "pure white", "plain white"])
    else:
        ground = rng.choice([s.background, s.background, s.background, "plain " + s.background])
    text = rng.choice([f"{thing} on {article(ground)} background", f"{thing} on {article(ground)} background",
                       f"{ground} background, {thing}", f"{thing}, {ground} background", f"{thing} on {ground}"])
    if not plain and rng.random() < 0.1:
        text = rng.choice(["a picture of ", "a drawing of ", "an illustration of "]) + text
    if not plain and rng.random() < 0.15:
        text = text[0].upper() + text[1:]
    if not plain and rng.random() < 0.1:
        text += "."
    return text


def caption(s, rng, drop=0.08):
    if rng.random() < drop:
        return ""
    return (chinese if rng.random() < 0.5 else english)(s, rng)


def test_prompts(count, seed=1):
    """`count` held-out combinations, Chinese and English in turn, spread evenly over the kinds."""
    rng = random.Random(seed)
    by_kind = {k: [] for k in KINDS}
    for combo in combinations(True):
        by_kind[combo[0]].append(combo)
    for v in by_kind.values():
        rng.shuffle(v)
    out = []
    while len(out) < count and any(by_kind.values()):
        for k in KINDS:
            if by_kind[k] and len(out) < count:
                s = Scene(*by_kind[k].pop())
                out.append((s, (chinese if len(out) % 2 == 0 else english)(s, rng, plain=True)))
    return out


if __name__ == "__main__":
    print(len(combinations(False)), "training combinations,", len(combinations(True)), "held out")
    r = random.Random(0)
    for scene in train_scenes(24, 0, 0.4):
        print(scene, repr(caption(scene, r)))
    for scene, text in test_prompts(8):
        print(scene, repr(text))
