"""Medians of the lines that run.sh collected, and the ratios that matter."""

import json
import statistics
import sys


def main():
    rates, peaks, shares = {}, {}, {}
    for line in open(sys.argv[1]):
        case, program, result = line.split(maxsplit=2)
        result = json.loads(result)
        rate = result.get("images_per_second") or result["instances_per_second"]
        rates.setdefault(case, {}).setdefault(program, []).append(rate)
        if result.get("peak_memory"):
            peaks[case, program] = max(peaks.get((case, program), 0), result["peak_memory"] / 1e6)
        if result.get("shares"):
            shares.setdefault((case, program), []).append(result["shares"])
    for case, programs in rates.items():
        unit = "instances" if case.startswith("simclr") else "images"
        print(f"{case}, {unit} a second")
        medians = {program: statistics.median(values) for program, values in programs.items()}
        for program, values in programs.items():
            peak = f"  peak {peaks[case, program]:6.0f} MB" if (case, program) in peaks else ""
            spread = f"{min(values):8.1f} to {max(values):8.1f}"
            print(f"  {program:26} {medians[program]:8.1f}  ({spread}, {len(values)} rounds){peak}")
            if (case, program) in shares:
                kinds = ("convolution", "normalization", "rest")
                mean = [statistics.mean(share[kind] for share in shares[case, program]) for kind in kinds]
                print(" " * 30 + ", ".join(f"{kind} {100 * part:.0f} %" for kind, part in zip(kinds, mean)))
        for precision in ("f32", "bf16"):
            mine = medians.get(f"lookalike-{precision}")
            rival_kind = f"-{precision}" if unit == "images" else f"lightly-{precision}"
            rivals = {program: rate for program, rate in medians.items() if rival_kind in program}
            rivals.pop(f"lookalike-{precision}", None)
            if mine and rivals:
                best = max(rivals, key=rivals.get)
                print(f"  ratio lookalike-{precision} / {best}: {mine / rivals[best]:.2f}")


main()
