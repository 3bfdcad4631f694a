"""Teaches the trained model to be as good in 8 steps without guidance as it was in many with it.

The student starts as the teacher. At the eight noise levels of eight steps it learns to go straight to where the
teacher, guided and in smaller steps, would be at the next level; at any other level it learns the teacher's guided
direction, so that other numbers of steps stay what they are. Without a caption it learns the same of the picture it
is shown, so that guidance on top of it has something to lead away from and little to exaggerate.
"""
import torch

import model
import train

STEPS = 8
ON_GRID = 0.7  # share of a batch at the noise levels of eight steps


class Teacher:
    def __init__(self, weights, guidance, substeps):
        self.encoder, self.dit = model.loaded(weights)
        self.guidance, self.substeps = guidance, substeps

    @torch.no_grad()
    def feats(self, ids, own, empty):
        return [(model.encode(self.encoder, i), o) for i, o in ((ids, own), empty)]

    def direction(self, x, sigma, feats, rotations):
        """The guided output, x0 - noise, at noise levels sigma (B,)."""
        (with_, own), (without, none) = feats
        count = len(x)
        out = model.denoise(self.dit, torch.cat([x, x]), (1 - sigma).repeat(2), torch.cat([with_, without]), torch.cat([own, none]), *rotations)
        yes, no = out.float().split(count)
        return no + self.guidance * (yes - no)

    @torch.no_grad()
    def aim(self, x, sigma, until, feats, rotations):
        """The one output that leads from level sigma to level until (both (B,)) where the guided teacher gets in its substeps."""
        at, y = sigma, x
        for i in range(self.substeps):
            to = sigma + (until - sigma) * (i + 1) / self.substeps
            y = y + (at - to)[:, None, None] * self.direction(y, at, feats, rotations)
            at = to
        return (y - x) / (sigma - until)[:, None, None]


def levels(count, gen):
    """(sigma, until), both (count,): first those on the grid of eight steps, each with the grid's next, then any, with itself."""
    grid = model.sigmas(STEPS)
    on = round(count * ON_GRID)
    i = torch.randint(0, STEPS, (on,), generator=gen)
    free = model.shifted(torch.rand(count - on, generator=gen) * 0.99 + 0.01)
    return torch.cat([grid[i], free]), torch.cat([grid[i + 1], free * 0.98])


def main():
    p = train.options(__doc__, 90, 6e-4)
    p.add_argument("--teacher", required=True, help="dit.pt of train.py")
    p.add_argument("--guidance", type=float, default=2.0, help="the teacher's, 1 is none")
    p.add_argument("--substeps", type=int, default=3)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--no-caption", type=float, default=0.1, help="share of pictures shown without one")
    a = p.parse_args()
    weights = torch.load(a.teacher)["ema"]
    run = train.Run(a, weights)
    teacher, gen = Teacher(weights, a.guidance, a.substeps), run.gen
    while run.share() < 1:
        x0, high, wide, scenes = run.batch(a.batch)
        ids, own = train.texts(scenes, run.rng, run.tok)
        empty = model.tokenize(run.tok, [""] * len(x0), ids.shape[1])
        rotations = model.rotations(high, wide, ids.shape[1])
        sigma, until = levels(len(x0), gen)
        noise = torch.randn(x0.shape, generator=gen)
        s = sigma[:, None, None]
        x = (1 - s) * x0 + s * noise
        with model.mixed():
            feats = teacher.feats(ids, own, empty)
            want = teacher.aim(x, sigma, until, feats, rotations)
            blank = (torch.rand(len(x0), generator=gen) < a.no_caption)[:, None]
            (with_, own), (without, none) = feats
            out = model.denoise(run.dit, x, 1 - sigma, torch.where(blank[..., None], without, with_), torch.where(blank, none, own), *rotations)
        run.learn((out.float() - want).pow(2).mean())


if __name__ == "__main__":
    main()
