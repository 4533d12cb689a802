"""INTERIM (lead): replaced by the room's owner."""

import pandas as pd


def concept_table(scores, predicted, labels):
    return pd.DataFrame({"support": labels.toarray().sum(0)})
