"""The model zoo: networks written as code, every size from the paper or the released model that is named beside it."""
