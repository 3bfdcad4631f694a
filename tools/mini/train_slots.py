"""Teaches the caption's side of the model - text encoder, embedder and context refiner - what is where on the picture.

Each of the 32 positions of a caption, its padding too, is made to hold 2 x 4 tokens of the native picture's latents, as
reading.py says. Left to itself a DiT takes ten times as long to find out what a caption looks like: here a
caption costs a tenth of a picture, and half an hour shows it hundreds of thousands. Goes on where it stopped.
"""
import os
import random

import torch
from tokenizers import Tokenizer

import clock
import model
import pool
import reading
import train


def main():
    p = clock.options(__doc__, 30, 5e-3, 128)
    p.add_argument("--pool", required=True, help="folder of prepare.py and latents.py")
    p.add_argument("--tokenizer", required=True, help="folder of tokenizer.py")
    p.add_argument("--encoder", required=True, help="encoder.pt of train_encoder.py")
    p.add_argument("--out", required=True, help="slots.pt: encoder and DiT; what is not the caption's is random")
    a = p.parse_args()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    tok = Tokenizer.from_file(os.path.join(a.tokenizer, "tokenizer.json"))
    data, (encoder, dit), reader = pool.Latents(a.pool), model.build(), reading.Reader()
    encoder.load_state_dict(torch.load(a.encoder)["encoder"])
    both = model.together(encoder, dit)
    for name, q in both.named_parameters():
        q.requires_grad_(q.requires_grad and name.startswith(model.CAPTION_SIDE))
    inner, outer = train.parameters(both)
    outer += reader.parameters()
    muon, adam = train.Muon(inner, a.lr), torch.optim.AdamW(outer, a.lr, (0.9, 0.98), weight_decay=0.0)
    work = clock.Clock(a.out, a.minutes, dict(weights=both, reader=reader, muon=muon, adam=adam))
    rng, seen = random.Random(a.seed + work.steps), []
    while not work.over():
        lr = a.lr * min(1, (work.steps - work.began + 1) / 50, 0.02 + 0.98 * (1 - work.share()) / train.FADE)
        muon.param_groups[0]["lr"], adam.param_groups[0]["lr"] = lr, lr * train.ADAM
        latents, scenes = data.batch(rng, a.batch, True)
        want, places = reading.regions(torch.from_numpy(latents)), reading.places()
        ids, own = train.texts(scenes, rng, tok, drop=0)
        y = model.refined(dit, model.encode(encoder, ids), own, *model.rotations(0, 0, ids.shape[1]))
        tokens, at, nothing = reader(y)
        wrong = (tokens - want).pow(2).mean()
        loss = wrong + (at - places).pow(2).mean() + 0.1 * nothing.pow(2).mean()
        muon.zero_grad(set_to_none=True)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        muon.step()
        adam.step()
        seen.append(1 - wrong.item() / want.var((0, 1, 2)).mean().item())
        work.step()
        if work.steps % 50 == 0 or work.over():
            print(f"step {work.steps} {work.spent:.0f} s loss {wrong.item():.4f} place {(at - places).pow(2).mean().item():.4f} R^2 {sum(seen) / len(seen):.3f} lr {lr:.2e}", flush=True)
            seen = []
            data.refresh()


if __name__ == "__main__":
    main()
