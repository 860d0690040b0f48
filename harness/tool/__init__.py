"""What the loop offers to a model: tools behind one small port."""
