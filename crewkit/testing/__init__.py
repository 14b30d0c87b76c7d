"""What users need to test their own crews, models, journals and memories."""
