"""The features of fimble: they take a snapshot and an offset and give a suggestion. They know no protocol."""
