"""The judge of lip-sync: measures of a video, alone or against a reference. docs/evaluate.md defines each of them."""
