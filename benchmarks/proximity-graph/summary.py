"""Medians of the lines that run.sh collected, and the ratios that matter."""

import statistics
import sys


def main():
    seconds, rates, peaks, anonymous = {}, {}, {}, {}
    for line in open(sys.argv[1]):
        work, *pairs = line.split()
        values = dict(pair.split("=") for pair in pairs)
        case = f"{work} n={values['n']} d={values['d']} m={values['m']} k={values['k']}"
        seconds.setdefault(case, []).append(float(values["seconds"]))
        rates.setdefault(case, []).append(float(values["gflops"]))
        if "peak" in values:
            peaks[case] = max(peaks.get(case, 0), float(values["peak"]))
            anonymous[case] = max(anonymous.get(case, 0), float(values["anonymous"]))
    print(f"{'work':48} {'runs':>5} {'median s':>10} {'least s':>9} {'GFLOP/s':>8} {'peak MB':>8} {'anon. MB':>8}")
    for case, times in seconds.items():
        peak = f"{peaks[case]:8.0f} {anonymous[case]:8.0f}" if case in peaks else ""
        median, rate = statistics.median(times), statistics.median(rates[case])
        print(f"{case:48} {len(times):5} {median:10.4f} {min(times):9.4f} {rate:8.1f} {peak}")

    def median_of(figures, prefix):
        found = [values for case, values in figures.items() if case.startswith(prefix)]
        return statistics.median(found[0]) if found else None

    gemm = median_of(rates, "gemm ")
    for graph in ("proximity n=105000", "proximity n=1000000", "knn "):
        rate = median_of(rates, graph)
        if gemm and rate:
            print(f"{graph.strip()}: {100 * rate / gemm:.0f} % of the rate of the matrix product in the same run")
    for ours, rival in (("knn ", "faiss "), ("proximity n=105000", "published ")):
        mine, theirs = median_of(seconds, ours), median_of(seconds, rival)
        if mine and theirs:
            print(f"{rival.strip()} / {ours.strip()}: {theirs / mine:.1f} times as long")


main()
