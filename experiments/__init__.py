"""What the papers claim, tried in small on Fashion-MNIST: one file per experiment, each one command. See README.md."""
