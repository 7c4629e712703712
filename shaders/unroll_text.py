"""What the generators of unrolled kernels share: lines, chains, dot products."""

NOTE = "// Written by unroll.py.\n"


def lines(pattern, *ranges):
    """One line for each element of the ranges' product, {0}, {1}... replaced."""
    combos = [()]
    for r in ranges:
        combos = [c + (i,) for c in combos for i in r]
    return "".join(pattern.format(*c) + "\n" for c in combos)


def indent(text, by):
    return "".join(" " * by + line + "\n" if line else "\n" for line in text.splitlines())


def chain(acc, a, b):
    """acc + a.x b0 + a.y b1 + a.z b2 + a.w b3, in this order."""
    for j, c in enumerate("xyzw"):
        acc = f"fma(vec4f({a}.{c}), {b.format(j)}, {acc})"
    return acc


def pick(rows, quads):
    """Cases that set s0, s1... to a row's accumulators."""

    def row(r):
        return " ".join(f"s{q} = c{r}_{q};" for q in range(quads))

    return "".join(f"case {r}u: {{ {row(r)} }}\n" for r in range(rows - 1)) + f"default: {{ {row(rows - 1)} }}\n"


def dot(q, k, quads):
    """The dot product of two vectors of quads: four partial sums, then across."""
    sums = f"{q.format(0)} * {k.format(0)}"
    for i in range(1, quads):
        sums = f"fma({q.format(i)}, {k.format(i)}, {sums})"
    return f"dot({sums}, vec4f(1.0))"
