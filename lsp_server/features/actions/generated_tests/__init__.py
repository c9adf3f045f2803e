"""Generated tests: which framework a project has, where its tests belong, and the tests in a model's answer."""
