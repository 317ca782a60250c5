import pytest

from qieval.errors import DesignError
from qieval.reports.rule import SuppressionRule


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (1, "fewer than 10"), (9, "fewer than 10"), (10, "10"), (12345, "12,345")],
)
def test_only_counts_from_one_to_below_the_threshold_are_hidden(count: int, shown: str) -> None:
    assert SuppressionRule().show(count) == shown


@pytest.mark.parametrize("band", [1, 3])
@pytest.mark.parametrize("threshold", [3, 7, 10])
def test_every_count_lies_in_its_printed_band(threshold: int, band: int) -> None:
    rule = SuppressionRule(threshold=threshold, band=band)
    for count in range(threshold, 20 * threshold):
        low, high = (int(part.replace(",", "")) for part in rule.show(count).split(" to "))
        assert low <= count <= high
        assert high - low <= band * threshold - 1
        assert {rule.show(other) for other in (low, high)} == {rule.show(count)}


def test_losses_say_only_whether_they_are_small_once_there_are_bands() -> None:
    rule = SuppressionRule(band=1)
    assert [rule.show_loss(loss) for loss in (0, 3, 10, 500)] == [
        "0",
        "fewer than 10",
        "10 or more",
        "10 or more",
    ]
    assert SuppressionRule().show_loss(500) == "500"


@pytest.mark.parametrize("threshold", [0, 1, 2])
def test_low_thresholds_need_a_reason_that_is_printed(threshold: int) -> None:
    with pytest.raises(DesignError, match="reason"):
        SuppressionRule(threshold=threshold)
    with pytest.raises(DesignError, match="reason"):
        SuppressionRule(threshold=threshold, reason="  ")
    rule = SuppressionRule(threshold=threshold, reason="the data are published")
    assert rule.show(1) == "1"
    assert rule.sentence() == "Small numbers are shown: the data are published"


@pytest.mark.parametrize("threshold", [-1, 2.5, True, "10"])
def test_a_threshold_is_a_whole_number(threshold: object) -> None:
    with pytest.raises(DesignError, match=r"threshold: .* whole number"):
        SuppressionRule(threshold=threshold, reason="x")  # type: ignore[arg-type]


def test_the_rule_says_how_zeros_and_bands_are_treated() -> None:
    assert "Zero is printed" in SuppressionRule().sentence()
    assert "bands" not in SuppressionRule().sentence()
    assert "bands of 20 numbers" in SuppressionRule(band=2).sentence()


def test_a_negative_count_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="-1"):
        SuppressionRule().show(-1)
