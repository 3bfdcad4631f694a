"""How the picture's tokens get what the caption's positions hold: said once in closed form, as a DiT starts; it learns the rest.

Each of the SLOTS positions of a caption, its padding too, holds HIGH x WIDE tokens of the native picture. A token of the
picture attends to the position that holds it: keys are places, turned by rotary embedding as the query is by its own. Of each
position's tokens every one has a head of its own, which attends to its token itself, that is to nothing, unless rows and
columns fit. So two layers of four heads read eight tokens from a position. A fifth head gives a constant, so that the norm
behind attention does not make noise large where there is nothing to be read.
"""
import math

import torch

import model

SLOTS, HIGH, WIDE = 32, 2, 4  # positions; tokens of each on the sides
TOKEN = 64  # values of one
SIDE = 16   # tokens of the native picture, on a side
RANK = model.DIT["dim"] // model.DIT["n_heads"]  # values that a head carries, of a token's 64

# What the DiT's 192 values are at the start: the noisy token; what was read; in a caption what is held; in a picture's token ones.
READ, HELD, CONSTANT, ONES = slice(64, 96), slice(96, 187), 187, slice(188, 192)
PLACE = [8, 9, 10, 11, 20, 21, 22, 23]  # of a head's values those that turn fastest, by rows and by columns
SHARP = torch.tensor([12.0, 12, 4, 4, 12, 12, 6, 6])  # what a fitting place adds to a score, in each of them
FREE = 6    # another that does not turn with either
BELOW = 3.0  # of a place that fits: attention to the token itself
QUIET = 0.05  # gates of what is random at first
LOUD = 8.0  # the constant, by values of a token near one


def turned(rows, columns):
    """(N, 8): cosine and sine of N places, at the first two frequencies of rows and of columns."""
    first = 1, model.DIT["rope_theta"] ** (-2 / model.DIT["axes_dims"][1])
    return torch.stack([f(x * w) for x in (rows, columns) for w in first for f in (torch.cos, torch.sin)], 1)


# The regions of 2 x 4 tokens, in the order of the positions that hold them: the outer ones first, for a caption's first
# positions have not read the rest of it yet.
ORDER = sorted(range(SLOTS), key=lambda i: -2 * abs(i // WIDE - 4) - 3 * abs(i % WIDE - 1.5))


def places():
    """(SLOTS, 8): of the slots' middles."""
    i = torch.tensor(ORDER)
    return turned(i // WIDE * HIGH + (HIGH - 1) / 2, i % WIDE * WIDE + (WIDE - 1) / 2)


def regions(latents):
    """(B, 16, 32, 32) -> what the slots should hold, (B, SLOTS, HIGH * WIDE, TOKEN)."""
    t = model.patches(latents).view(-1, SIDE // HIGH, HIGH, SIDE // WIDE, WIDE, TOKEN)
    return t.transpose(2, 3).reshape(-1, SLOTS, HIGH * WIDE, TOKEN)[:, ORDER]


class Reader(torch.nn.Module):
    """What the slots hold, linear in them: their places and their tokens."""

    def __init__(self):
        super().__init__()
        width = HELD.stop - HELD.start
        self.place, self.values = torch.nn.Linear(width, 8, bias=False), torch.nn.Linear(width, HIGH * WIDE * RANK, bias=False)
        self.token = torch.nn.Linear(RANK, TOKEN)
        torch.nn.init.orthogonal_(self.token.weight)

    def forward(self, y):
        """(B, SLOTS, HIGH * WIDE, TOKEN), (B, SLOTS, 8), and what should be nothing."""
        y = torch.nn.functional.rms_norm(y[:, :SLOTS], y.shape[-1:])
        return self.token(self.values(y[..., HELD]).unflatten(-1, (-1, RANK))), self.place(y[..., HELD]), y[..., ONES]


@torch.no_grad()
def install(dit, reader):
    """Sets a fresh DiT's embedder, the attention of its first two layers and its last map."""
    width, first, last = model.DIT["dim"], dit.all_x_embedder["2-1"], dit.all_final_layer["2-1"].linear
    for w in (first.weight, first.bias, last.weight):
        w.zero_()
    first.weight[:TOKEN] = torch.eye(TOKEN)
    first.bias[ONES] = 2.0
    ones = torch.zeros(width)
    ones[ONES] = 1 / 12.4  # of the embedded token behind its norm, together, where noise is of deviation one
    for m in (*dit.noise_refiner, *dit.layers):
        m.adaLN_modulation[0].bias.view(4, -1)[1::2] = QUIET
    total = SHARP[::2].sum()
    free = torch.zeros(RANK)
    free[FREE] = total ** 0.5
    for layer, m in enumerate(dit.layers[:HIGH]):
        at = m.attention
        q, k, v = (w.weight.view(-1, RANK, width) for w in (at.to_q, at.to_k, at.to_v))
        out = at.to_out[0].weight.zero_().view(width, -1, RANK)
        for norm in (at.norm_q, at.norm_k):
            norm.weight.fill_((total / RANK ** 0.5) ** 0.5)
        for w in (q, k, v):
            w[:WIDE + 1] = 0
        for head in range(WIDE):
            place = torch.zeros(RANK)
            place[PLACE] = SHARP ** 0.5 * turned(torch.tensor([(HIGH - 1) / 2 - layer]), torch.tensor([(WIDE - 1) / 2 - head]))[0]
            fits = 1 - BELOW / total
            q[head] = torch.outer(place, ones)
            k[head] = torch.outer(fits * place + (1 - fits ** 2) ** 0.5 * free, ones)
            v[head, :, HELD] = reader.values.weight.view(HIGH, WIDE, RANK, -1)[layer, head]
            out[READ, head] = torch.eye(RANK)
        q[WIDE] = k[WIDE] = torch.outer(free, ones)
        v[WIDE, 0], out[CONSTANT, WIDE, 0] = LOUD * ones, 1
        for head in range(WIDE + 1):
            k[head, PLACE, HELD] = (SHARP ** 0.5)[:, None] * reader.place.weight
        gate = m.adaLN_modulation[0].bias.view(4, -1)[1].fill_(1.0)
        m.attention_norm2.weight.fill_(LOUD / width ** 0.5 / gate.tanh()[0])
    last.weight[:, READ] = 1.4 * reader.token.weight  # about the tokens' deviation at the end
    last.weight[:, :TOKEN] -= 1.4 * torch.eye(TOKEN)
    last.bias.copy_(reader.token.bias)
