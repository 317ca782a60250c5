"""One file per question that a study has to answer about its assumptions."""
