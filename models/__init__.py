"""What makes the models that come with fimble. No part of the installed package."""
