"""The table: what, measured, goal, ratio, met or not."""


class Report:
    """Collects rows and writes them as Markdown; says on the terminal what was just measured."""

    def __init__(self, say):
        self.sections = []
        self.say = say

    def section(self, title):
        self.sections.append((title, []))
        self.say(f"== {title}")

    def row(self, what, measured, goal="", ratio="", met=None):
        self.sections[-1][1].append((what, measured, goal, ratio, "" if met is None else "yes" if met else "**no**"))
        self.say(f"   {what}: {measured} {f'(goal {goal}: {ratio}, ' + ('met' if met else 'NOT met') + ')' if met is not None else ''}")

    def at_most(self, what, value, unit, limit, base=None, base_name=""):
        """A value that must not exceed `limit`, or `limit` times a base."""
        if base is None:
            self.row(what, f"{number(value)} {unit}", f"≤ {number(limit)} {unit}", f"{value / limit:.2f}", value <= limit)
        else:
            ratio = value / base
            self.row(what, f"{number(value)} {unit}", f"≤ {number(limit)} × {base_name}", f"{ratio:.2f} ×", ratio <= limit)

    def at_least(self, what, value, unit, factor, base, base_name):
        """A value that must reach `factor` times a base."""
        ratio = value / base
        self.row(what, f"{number(value)} {unit}", f"≥ {number(factor)} × {base_name}", f"{ratio:.2f} ×", ratio >= factor)

    def exact(self, what, same, detail):
        self.row(what, detail, "equal", "", same)

    def unmet(self):
        """How many goals were not met."""
        return sum(row[4] == "**no**" for _, rows in self.sections for row in rows)

    def markdown(self, facts):
        lines = [f"- {name}: {value}" for name, value in facts.items()]
        for title, rows in self.sections:
            lines += ["", f"### {title}", "", "| what | measured | goal | ratio | met |", "|---|---|---|---|---|"]
            lines += ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join(lines)


def number(value):
    """A number with three digits that matter, and thousands separated."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
