"""Teaches the caption's side of the model - text encoder, embedder and context refiner - what is where on the picture.

Each of the 32 positions of a caption, its padding too, is made to hold 2 x 4 tokens of the native picture's latents, as
reading.py says. Left to itself a DiT takes ten times as long to find out what a caption looks like: here a
caption costs a tenth of a picture, and half an hour shows it hundreds of thousands. Half of the refiner's blocks have to
find out which part of which thing a position holds, and to fetch its code; what it looks like is left to the others.
Goes on where it stopped.
"""
import functools
import itertools
import os
import random

import torch
from tokenizers import Tokenizer

import clock
import codes
import model
import pool
import reading
import scenes
import train

NOTHING = 0.06  # share of empty captions: what they hold is any picture's mean
STILL = 0.6  # share of the time in which the encoder stays as it is: a step is half the work
# Of things, by tokens of the cell's side, and rows and columns from there. What is part of none has the number 0.
NORMAL, SMALL = scenes.CELLS["normal"], scenes.CELLS["small"]
PARTS = [None, *((NORMAL, y, x) for y in range(0, NORMAL, reading.HIGH) for x in range(0, NORMAL, reading.WIDE)),
         *((SMALL, y, x) for y in range(0, SMALL, reading.HIGH) for x in (-2, 2))]


@functools.lru_cache(None)
def parts(count, size, spot):
    """Of native pictures of so many things, by slots: which part of a thing each holds, or 0, and of which one, or 0."""
    held = scenes.cells(scenes.Scene((None,) * count, "plain", ("white",), size, spot))
    part, thing = torch.zeros(reading.SLOTS, dtype=torch.long), torch.zeros(reading.SLOTS, dtype=torch.long)
    for slot, region in enumerate(reading.ORDER):
        row, column = region // reading.WIDE * reading.HIGH, region % reading.WIDE * reading.WIDE
        for k, (left, top, side) in enumerate(held):
            if top - reading.HIGH < row < top + side and left - reading.WIDE < column < left + side:
                part[slot], thing[slot] = PARTS.index((side, row - top, column - left)), k + 1
    return part, thing


class Guide(torch.nn.Module):
    """What the middle of the refiner has to know, linear in it."""

    def __init__(self):
        super().__init__()
        self.part, self.thing, self.code = (torch.nn.Linear(model.DIT["dim"], n) for n in (len(PARTS), 4, codes.CODE))

    def forward(self, y, batch, things):
        """The error in y (B, L, D) about these scenes, and the share of the code that is there."""
        y = torch.nn.functional.rms_norm(y[:, :reading.SLOTS], y.shape[-1:])
        part, thing = (torch.stack(x) for x in zip(*(parts(len(s.things), s.size, s.spot) for s in batch)))
        rows, slots = thing.nonzero(as_tuple=True)
        code = torch.stack([things[s.style, t.index, t.colour] for s in batch for t in (s.things + s.things[:1] * 2)[:3]])
        wrong = (self.code(y[rows, slots]) - code[3 * rows + thing[rows, slots] - 1]).pow(2).mean()
        told = sum(torch.nn.functional.cross_entropy(m(y).flatten(0, 1), x.flatten()) for m, x in ((self.part, part), (self.thing, thing)))
        return 0.1 * told + 0.3 * wrong, told.item(), 1 - wrong.item()


def main():
    p = clock.options(__doc__, 36, 4e-3, 64)
    p.add_argument("--pool", required=True, help="folder of prepare.py and latents.py")
    p.add_argument("--tokenizer", required=True, help="folder of tokenizer.py")
    p.add_argument("--encoder", required=True, help="encoder.pt of train_encoder.py")
    p.add_argument("--codes", required=True, help="codes.pt of codes.py")
    p.add_argument("--out", required=True, help="slots.pt: encoder and DiT; what is not the caption's is random")
    a = p.parse_args()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    tok = Tokenizer.from_file(os.path.join(a.tokenizer, "tokenizer.json"))
    things, data, (encoder, dit), reader, guide = codes.load(a.codes), pool.Latents(a.pool), model.build(), reading.Reader(), Guide()
    encoder.load_state_dict(torch.load(a.encoder)["encoder"])
    both = model.together(encoder, dit)
    for name, q in both.named_parameters():
        q.requires_grad_(q.requires_grad and name.startswith(model.CAPTION_SIDE))
    inner, outer = train.parameters(both)
    outer += [*reader.parameters(), *guide.parameters()]
    muon, adam = train.Muon(inner, a.lr), torch.optim.AdamW(outer, a.lr, (0.9, 0.98), weight_decay=0.0)
    work = clock.Clock(a.out, a.minutes, dict(weights=both, reader=reader, guide=guide, muon=muon, adam=adam))
    rng, seen = random.Random(a.seed + work.steps), []
    nothing_said = model.tokenize(tok, [""])[1].sum()
    learning = [q for q in encoder.parameters() if q.requires_grad]
    while not work.over():
        for q in learning:
            q.requires_grad_(work.share() > STILL)
        lr = a.lr * min(1, (work.steps - work.began + 1) / 50, 0.02 + 0.98 * (1 - work.share()) / train.FADE)
        muon.param_groups[0]["lr"], adam.param_groups[0]["lr"] = lr, lr * train.ADAM
        latents, batch = data.batch(rng, a.batch, True)
        want, places = reading.regions(torch.from_numpy(latents)), reading.places()
        ids, own = train.texts(batch, rng, tok, NOTHING)
        said = own.sum(1) > nothing_said
        stages = []
        y = model.refined(dit, model.encode(encoder, ids), own, *model.rotations(0, 0, ids.shape[1]), stages)
        tokens, at, nothing = reader(y)
        told, parted, coded = guide(stages[len(stages) // 2 - 1][said], list(itertools.compress(batch, said)), things)
        wrong = (tokens - want).pow(2).mean()
        loss = wrong + told + (at - places).pow(2).mean() + 0.1 * nothing.pow(2).mean()
        muon.zero_grad(set_to_none=True)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        muon.step()
        adam.step()
        seen.append(1 - wrong.item() / want.var((0, 1, 2)).mean().item())
        work.step()
        if work.steps % 50 == 0 or work.over():
            print(f"step {work.steps} {work.spent:.0f} s loss {wrong.item():.4f} place {(at - places).pow(2).mean().item():.4f} parts {parted:.3f} code {coded:.3f} R^2 {sum(seen) / len(seen):.3f} lr {lr:.2e}", flush=True)
            seen = []
            data.refresh()


if __name__ == "__main__":
    main()
