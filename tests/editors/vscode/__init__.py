"""What the tests of the VS Code extension need: installing a VS Code, and driving it."""
