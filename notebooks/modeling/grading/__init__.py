"""How good the answers are: metrics, intervals, slices, the gate, the model card."""
