"""Steps and time of a training that has so many minutes, its checkpoint, and the options all such trainings share."""
import argparse
import os
import time

import torch


def options(doc, minutes, lr, batch):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--minutes", type=float, default=minutes)
    p.add_argument("--lr", type=float, default=lr)
    p.add_argument("--batch", type=int, default=batch)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    return p


class Clock:
    """Takes `parts`, name to what has a state_dict(), up from the file `path` if there is one, and keeps them there."""

    def __init__(self, path, minutes, parts, every=120):
        self.path, self.seconds, self.parts, self.every = path, 60 * minutes, parts, every
        self.steps, self.spent = 0, 0.0
        if os.path.exists(path):
            ck = torch.load(path)
            for name, part in parts.items():
                if name in ck:  # optimisers may be missing
                    part.load_state_dict(ck[name])
            self.steps, self.spent = ck["step"], ck["spent"]
        self.began, self.mark, self.saved = self.steps, time.time(), time.time()

    def share(self):
        """How much of the time is over, from 0 to 1."""
        return self.spent / self.seconds

    def over(self):
        return self.share() >= 1

    def step(self):
        """A step is done; keeps the parts every so often and at the end."""
        self.steps, now = self.steps + 1, time.time()
        self.spent, self.mark = self.spent + now - self.mark, now
        if self.over() or now - self.saved > self.every:
            torch.save({name: part.state_dict() for name, part in self.parts.items()} | dict(step=self.steps, spent=self.spent), self.path + ".tmp")
            os.replace(self.path + ".tmp", self.path)
            self.saved = now
