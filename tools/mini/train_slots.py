"""Teaches the caption's side of the model - text encoder, embedder and context refiner - where on the picture is what.

Each of the 32 positions of a caption, its padding too, is made to hold an eighth of a row of blocks: 2 x 4 tokens of the native
picture's latents, read from it by one linear map that is the same for all and is thrown away afterwards. Attention then only
has to look at the right position. Left to itself a DiT takes ten times as long to find out what a caption looks like: here a
caption costs a tenth of a picture, and half an hour shows it hundreds of thousands. Goes on where it stopped.
"""
import argparse
import os
import random
import time

import torch
from tokenizers import Tokenizer

import model
import pool
import train

SLOTS, HIGH, WIDE = 32, 2, 4  # positions; tokens of each on the sides
TOKEN = 64  # values of one
SIDE = 16   # tokens of the native picture, on a side


def regions(latents):
    """(B, 16, 32, 32) -> what the slots should hold, (B, SLOTS, HIGH * WIDE * TOKEN)."""
    t = model.patches(latents).view(-1, SIDE // HIGH, HIGH, SIDE // WIDE, WIDE, TOKEN)
    return t.transpose(2, 3).reshape(-1, SLOTS, HIGH * WIDE * TOKEN)


class Side(torch.nn.Module):
    """What is trained: the caption's side of encoder and DiT, and the map that reads the slots."""

    def __init__(self):
        super().__init__()
        self.encoder, dit = model.build()
        self.embedder, self.refiner, self.pad = dit.cap_embedder, dit.context_refiner, dit.cap_pad_token
        self.reader = torch.nn.Linear(model.DIT["dim"], HIGH * WIDE * TOKEN, bias=False)
        self.mean = torch.nn.Parameter(torch.zeros(SLOTS, HIGH * WIDE * TOKEN))
        torch.nn.init.zeros_(self.reader.weight)
        self.dit = [dit]  # the rest of it: not ours

    def forward(self, ids, own):
        y = model.refined(self.dit[0], model.encode(self.encoder, ids), own, *model.rotations(0, 0, ids.shape[1]))[:, :SLOTS]
        return self.reader(torch.nn.functional.rms_norm(y, y.shape[-1:])) + self.mean

    def weights(self):
        """Of encoder and DiT, as train.py takes them; what is not the caption's is random."""
        return model.together(self.encoder, self.dit[0]).state_dict()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pool", required=True, help="folder of prepare.py and latents.py")
    p.add_argument("--tokenizer", required=True, help="folder of tokenizer.py")
    p.add_argument("--encoder", required=True, help="encoder.pt of train_encoder.py")
    p.add_argument("--out", required=True, help="slots.pt")
    p.add_argument("--minutes", type=float, default=30)
    p.add_argument("--lr", type=float, default=5e-3, help="Muon's; AdamW's is 0.4 of it")
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    tok = Tokenizer.from_file(os.path.join(a.tokenizer, "tokenizer.json"))
    data, side = pool.Latents(a.pool), Side()
    side.encoder.load_state_dict(torch.load(a.encoder)["encoder"])
    trained = {name: q for name, q in side.named_parameters() if q.requires_grad}
    inner = [q for name, q in trained.items() if q.ndim == 2 and ("encoder.layers" in name or "refiner" in name)]
    outer = [q for q in trained.values() if all(q is not i for i in inner)]
    muon, adam = train.Muon(inner, a.lr), torch.optim.AdamW(outer, a.lr, (0.9, 0.98), weight_decay=0.0)
    step, spent = 0, 0.0
    if os.path.exists(a.out):
        ck = torch.load(a.out)
        side.load_state_dict(ck["side"])
        muon.load_state_dict(ck["muon"])
        adam.load_state_dict(ck["adam"])
        step, spent = ck["step"], ck["spent"]
    rng, first, seen = random.Random(a.seed + step), step, []
    mark = saved = time.time()
    while (share := spent / (60 * a.minutes)) < 1:
        lr = a.lr * min(1, (step - first + 1) / 50, 0.02 + 0.98 * (1 - share) / train.FADE)
        muon.param_groups[0]["lr"], adam.param_groups[0]["lr"] = lr, lr * train.ADAM
        latents, scenes = data.batch(rng, a.batch, True)
        want = regions(torch.from_numpy(latents))
        ids, own = train.texts(scenes, rng, tok, drop=0)
        loss = (side(ids, own) - want).pow(2).mean()
        side.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        muon.step()
        adam.step()
        seen.append(1 - loss.item() / want.var((0, 1)).mean().item())
        step, now = step + 1, time.time()
        spent, mark = spent + now - mark, now
        last = spent >= 60 * a.minutes
        if step % 50 == 0 or last:
            print(f"step {step} {spent:.0f} s loss {loss.item():.4f} R^2 {sum(seen) / len(seen):.3f} lr {lr:.2e}", flush=True)
            seen = []
        if last or now - saved > 120:
            torch.save(dict(side=side.state_dict(), weights=side.weights(), muon=muon.state_dict(), adam=adam.state_dict(),
                            step=step, spent=spent), a.out + ".tmp")
            os.replace(a.out + ".tmp", a.out)
            saved = now


if __name__ == "__main__":
    main()
