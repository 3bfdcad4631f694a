"""What a user would write for a scene, in Chinese and English, in many phrasings."""
import random

import artwork
import scenes

ZH_COLOUR = dict(red="红", orange="橙", yellow="黄", green="绿", blue="蓝", purple="紫", pink="粉", brown="棕", white="白", gray="灰",
                 black="黑")
# Further names for a thing, by its English one.
ALSO = dict(
    cat=["kitten", "小猫", "猫咪"], dog=["puppy", "小狗"], rabbit=["bunny", "小兔子"], bird=["小鸟"], fish=["小鱼"], bear=["小熊"],
    pig=["小猪"], duck=["小鸭子"], monkey=["小猴子"], car=["automobile", "小汽车", "轿车"], tv=["television", "电视"],
    phone=["mobile phone", "cell phone"], ufo=["flying saucer"], plane=["airplane", "aeroplane"], bicycle=["bike", "单车"],
    coffee=["cup", "cup of coffee", "杯子", "茶杯", "一杯咖啡"], beer=["glass of beer"], wine=["glass of wine", "红酒"],
    milk=["glass of milk"], house=["home", "小屋", "小房子"], tree=["大树"], heart=["爱心", "心形", "红心"], moon=["crescent moon", "月牙", "弯月"],
    star=["五角星", "五星"], flower=["花朵", "小花"], rose=["红玫瑰"], fire=["flame", "火焰"], gift=["present", "gift box", "礼盒"],
    cake=["birthday cake", "生日蛋糕"], donut=["doughnut"], fries=["french fries"], hamburger=["burger"], tangerine=["orange fruit", "桔子"],
    shirt=["t-shirt", "衬衫"], sneaker=["running shoe", "球鞋"], mushroom=["toadstool"], smiley=["smiley face", "happy face"],
    cube=["block", "方块"], ball=["sphere", "圆球"], cup=["mug", "茶杯"], pumpkin=["jack-o-lantern", "南瓜灯"], train=["railway train"], ship=["boat", "大船"],
    diamond=["gem"], sofa=["couch"], watermelon=["slice of watermelon"], dinosaur=["brontosaurus"], robot=["小机器人"])
ALWAYS_MANY = {"cherries", "fries", "glasses", "sunglasses", "jeans", "gloves", "socks", "headphones", "scissors", "grapes",
               "pancakes", "blueberries", "noodles", "books", "popcorn", "broccoli", "corn", "honey", "milk",
               "coffee", "beer", "wine", "bubble tea", "sushi", "bow and arrow"}
MEASURES = {}
for _measure, _names in dict(
        只="""monkey dog wolf fox raccoon cat lion tiger zebra deer goat llama giraffe rhino hippo mouse hamster rabbit squirrel
beaver hedgehog bat bear koala panda sloth kangaroo chicken rooster chick bird penguin dove eagle duck swan owl flamingo peacock
parrot frog turtle octopus crab lobster shrimp squid snail butterfly ant bee ladybug spider scorpion""",
        头="elephant cow pig", 匹="horse unicorn", 条="snake crocodile dragon whale dolphin fish shark caterpillar scarf necktie dress jeans",
        辆="car bus taxi truck tractor ambulance motorcycle bicycle", 架="plane helicopter piano", 艘="ship sailboat", 棵="tree cactus seedling",
        朵="flower rose sunflower tulip lotus cloud mushroom", 把="umbrella guitar violin key hammer axe chair scissors broom",
        本="book", 座="house castle mountain volcano church", 颗="star heart strawberry diamond", 杯="coffee milk beer wine",
        顶="crown cap").items():
    words = _names.split()
    for _w in words:
        MEASURES[_w] = _measure
MEASURES.update({"pine tree": "棵", "palm tree": "棵", "top hat": "顶", "straw hat": "顶", "police car": "辆", "race car": "辆",
                 "fire truck": "辆"})
EN_PLACE = dict(grass=["on the grass", "on green grass", "in a meadow"], night=["in the night sky", "at night", "under the stars"],
                beach=["on the beach", "by the sea"], snow=["in the snow", "on snow"], sea=["under the sea", "under water", "in the ocean"],
                room=["in a room", "on a wooden floor", "indoors", "on the windowsill"])
ZH_PLACE = dict(grass=["草地上", "在草地上", "绿色的草地上"], night=["夜空中", "在夜空中", "星空下"], beach=["沙滩上", "在沙滩上", "海边"],
                snow=["雪地里", "在雪地里", "雪地上"], sea=["海底", "在海里", "在水下"], room=["房间里", "在房间里", "木地板上", "窗台上"])
EN_SPOT = dict(left="on the left", right="on the right", top="at the top", bottom="at the bottom")
ZH_SPOT = dict(left=["在左边", "在左侧"], right=["在右边", "在右侧"], top=["在上方", "在上边"], bottom=["在下方", "在下边"])
EN_SMALL, ZH_SMALL = ["small", "tiny", "little"], ["小小的", "很小的"]
EN_STYLE = (["flat style", "flat design"], ["shaded style", "glossy style"])
ZH_STYLE = (["扁平风格", "扁平插画"], ["立体风格", "光泽风格"])


def is_chinese(text):
    return any("\u4e00" <= c <= "\u9fff" for c in text)


def name_of(index, zh, rng, plain):
    _, en, chinese = artwork.names()[index]
    first = chinese if zh else en
    others = [n for n in ALSO.get(en, []) if is_chinese(n) == zh]
    return first if plain or not others or rng.random() < 0.65 else rng.choice(others)


def many(name):
    if name in ALWAYS_MANY or name.endswith("s") and not name.endswith(("ss", "us")):
        return name
    if name.endswith(("s", "x", "ch", "sh")) or name in ("potato", "tomato", "mango"):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    if name in ("sheep", "fish", "deer", "squid", "shrimp"):
        return name
    if name.endswith("mouse"):
        return name[:-5] + "mice"
    return name + "s"


def article(words):
    last = words.split()[-1]
    if last in ALWAYS_MANY:
        return words
    return ("an " if words[0] in "aeiou" and not words.startswith(("uni", "ufo")) else "a ") + words


def english_things(s, rng, plain):
    words = [] if s.size == "normal" else [rng.choice(EN_SMALL)]
    if len(set(s.things)) == 1 and len(s.things) > 1:
        t = s.things[0]
        colour = [t.colour] if t.colour else []
        return " ".join([["", "", "two", "three"][len(s.things)]] + colour + [many(name_of(t.index, False, rng, plain))])
    parts = []
    for t in s.things:
        name = " ".join(words + ([t.colour] if t.colour else []) + [name_of(t.index, False, rng, plain)])
        parts.append(article(name) if plain or rng.random() < 0.9 or len(s.things) > 1 else name)
    if len(parts) < 3:
        return (" and " if plain or rng.random() < 0.85 else " with ").join(parts)
    return f"{parts[0]}, {parts[1]} and {parts[2]}"


def chinese_things(s, rng, plain):
    size = "" if s.size == "normal" else rng.choice(ZH_SMALL)
    same = len(set(s.things)) == 1
    parts = []
    for t in s.things[:1] if same else s.things:
        measure = MEASURES.get(artwork.names()[t.index][1], "个")
        measure = measure if rng.random() < 0.6 else "个"
        number = ["", "一", "两", "三"][len(s.things) if same else 1]
        colour = ZH_COLOUR[t.colour] + rng.choice(["色", "色", "色的"]) if t.colour else ""
        name = name_of(t.index, True, rng, plain)
        if t.colour == "orange" and name == "猫" and rng.random() < 0.5:
            colour, name = "", "橘猫"
        parts.append((number + measure if not name.startswith("一") else "") + size + colour + name)
    if len(parts) < 3:
        return "和".join(parts)
    return f"{parts[0]}、{parts[1]}和{parts[2]}"


def sits(s):
    """An animal by itself, not at sea and not in the sky."""
    return len(s.things) == 1 and MEASURES.get(artwork.names()[s.things[0].index][1]) == "只" and s.background[0] not in ("sea", "night")


def tells_ground(s, rng, plain):
    """If a caption says what the plain background is."""
    return plain or rng.random() < (0.6 if s.background[0] == "white" else 0.94)


def english(s, rng, plain=False):
    text = english_things(s, rng, plain)
    if s.spot:
        text += " " + EN_SPOT[s.spot]
    style = rng.choice(EN_STYLE[s.style]) if s.style or (not plain and rng.random() < 0.2) else ""
    if s.kind == "plain":
        c = s.background[0]
        if tells_ground(s, rng, plain):
            ground = c if plain or rng.random() < 0.8 else rng.choice(["plain ", "pure "]) + c
            text = rng.choice([f"{text} on a {ground} background", f"{text} on a {ground} background",
                               f"{text}, {ground} background", f"{ground} background, {text}", f"{text} on {ground}"])
            text = text.replace("on a orange", "on an orange")
    elif s.kind == "gradient":
        a, b = s.background
        text = rng.choice([f"{text} on a gradient from {a} to {b}", f"{text}, {a} to {b} gradient background"])
    else:
        text += (" sitting " if sits(s) and rng.random() < 0.2 else " ") + rng.choice(EN_PLACE[s.background[0]])
    if not plain and rng.random() < 0.1:
        text = rng.choice(["a picture of ", "a drawing of ", "an emoji of ", "an illustration of "]) + text
    if style:
        text += ", " + style
    if not plain and rng.random() < 0.15:
        text = text[0].upper() + text[1:]
    return text + ("." if not plain and rng.random() < 0.08 else "")


def chinese(s, rng, plain=False):
    text = chinese_things(s, rng, plain)
    if s.spot:
        text += rng.choice(ZH_SPOT[s.spot])
    comma = rng.choice([",", "，"])
    if s.kind == "plain":
        c = ZH_COLOUR[s.background[0]]
        if tells_ground(s, rng, plain):
            ground = rng.choice([c + "色背景", c + "色背景", "纯" + c + "色背景", "纯" + c + "背景"])
            text = rng.choice([ground + comma + text, ground + comma + text, text + comma + ground, ground + "上的" + text,
                               ground + "上有" + text])
    elif s.kind == "gradient":
        a, b = (ZH_COLOUR[c] for c in s.background)
        text += comma + rng.choice([f"从{a}色到{b}色的渐变背景", f"{a}{b}渐变背景"])
    else:
        ground = rng.choice(ZH_PLACE[s.background[0]])
        sitting = "坐" if sits(s) and rng.random() < 0.2 else ""
        text = rng.choice([text + sitting + ground if ground.startswith("在") else text + sitting + "在" + ground,
                           (ground + "的" if not ground.startswith("在") else ground + comma) + text])
    if s.style or (not plain and rng.random() < 0.2):
        text += comma + rng.choice(ZH_STYLE[s.style])
    return text


def caption(s, rng, drop=0.08):
    if rng.random() < drop:
        return ""
    return (chinese if rng.random() < 0.5 else english)(s, rng)


if __name__ == "__main__":
    r = random.Random(5)
    for _ in range(30):
        print(caption(scenes.random_scene(r), r, 0))
