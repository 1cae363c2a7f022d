"""One script a claim: each prints JSON with both sides, their ratio, the hardware and the versions."""
