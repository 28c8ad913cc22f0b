"""`scripts/claims`: the table of the results of `resformer claim`."""

import json
from pathlib import Path

from lib.claims import write_table


def test_results_are_a_table_in_the_order_of_the_claims(tmp_path: Path) -> None:
    for name in ("7-skips", "1-rank"):
        statistic = {"words": "slope: 1.2 (1 to 1.4)"}
        texts = {"title": name, "source": "somebody", "saw": "this", "differs": "width"}
        result = {
            "claim": name,
            **texts,
            "earlier": "Held. Wrong loss." if name == "1-rank" else "",
            "statistic": statistic,
            "bound": "> 1",
            "needs": {"words": "loss: 0.4 (0.3 to 0.45)", "bound": "< 0.5"}
            if name == "1-rank"
            else None,
            "at_edge": {"seeds": 3, "of": 40} if name == "1-rank" else None,
            "verdict": "holds",
            "also": [statistic, {"words": "p: 1"}],
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    write_table(tmp_path)
    lines = (tmp_path / "claims.md").read_text().splitlines()
    assert lines[2].startswith(
        "| 1 | 1-rank | somebody | this | slope: 1.2 (1 to 1.4), holds if > 1; "
        "needs loss: 0.4 (0.3 to 0.45) < 0.5; best rates of 3 of 40 seeds at the edge |"
    )
    assert "holds if > 1 | holds |" in lines[3]
    assert lines[3].endswith("| holds | slope: 1.2 (1 to 1.4); p: 1 | width |")
    assert lines[4:] == ["", "## Earlier versions of these tests", "", "1. Held. Wrong loss."]
