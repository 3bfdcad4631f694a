#!/usr/bin/env python3
"""A markdown table of the relative error of each tensor: norm of the difference over norm of the
reference. With --floor, a second column compares another run of the reference (its bf16 run, say)
with the first, which tells how much of the error the number format explains."""
import argparse

from safetensors.torch import load_file


def error(reference, other):
    reference, other = reference.double(), other.double().reshape(-1)
    rows = len(other) // (reference.numel() // reference.shape[0])
    if rows < reference.shape[0]:  # the dump may leave out padding at the end
        reference = reference[:rows]
    reference = reference.reshape(-1)
    assert len(reference) == len(other)
    return float((other - reference).norm() / reference.norm()), float((other - reference).abs().max())


def order(name):
    stages = ("t_emb", "x_embedder", "noise_refiner", "cap_embedder", "context_refiner", "layers",
              "final_layer", "output")
    parts = name.split(".")
    stage = parts[1] if len(parts) > 1 else name
    rank = stages.index(stage) if stage in stages else len(stages)
    return (parts[0], rank, [int(p) if p.isdigit() else -1 for p in parts[2:]], name)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference")
    parser.add_argument("dump", help="the program's tensors under the same names")
    parser.add_argument("--floor", help="another run of the reference")
    parser.add_argument("--limit", type=float, help="fail if an error is above this")
    options = parser.parse_args()
    reference, dump = load_file(options.reference), load_file(options.dump)
    floor = load_file(options.floor) if options.floor else {}

    inputs = {"latent", "timestep", "ids"}
    if "timestep" in reference:  # of the transformer; for the encoder they are the result
        inputs.add("features")
    for name in inputs:
        if name in dump and name in reference and error(reference[name], dump[name])[1] != 0:
            raise SystemExit(f"{name}: the two runs had different inputs")
    names = sorted((n for n in reference if n in dump and n not in inputs), key=order)
    if not names:
        raise SystemExit("the two files have no name in common")
    print("| tensor | shape | relative error | largest difference |" + (" floor |" if floor else ""))
    print("| --- | --- | --- | --- |" + (" --- |" if floor else ""))
    worst = 0.0
    for name in names:
        relative, largest = error(reference[name], dump[name])
        worst = max(worst, relative)
        shape = " x ".join(map(str, reference[name].shape))
        tail = f" {error(reference[name], floor[name])[0]:.2e} |" if name in floor else ""
        print(f"| {name} | {shape} | {relative:.2e} | {largest:.2e} |{tail}")
    missing = sorted(set(reference) - set(dump) - set(inputs), key=order)
    if missing:
        print(f"\nNot in the dump: {', '.join(missing)}")
    if options.limit is not None and not worst <= options.limit:
        raise SystemExit(f"worst relative error {worst:.2e}, above {options.limit:.2e}")


if __name__ == "__main__":
    main()
