"""Numbers and settings in words."""

from __future__ import annotations


def seconds(value: float) -> str:
    """A time in its natural unit.

    Example:
        >>> [seconds(value) for value in (0.0421, 3.17, 72.4, 4020)]
        ['42 ms', '3.2 s', '1 min 12 s', '1 h 7 min']
    """
    if value < 0.9995:
        return f"{1000 * value:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(value: float) -> str:
    """Bytes in their natural unit.

    Example:
        >>> [size(value) for value in (512, 410e6, 1.21e9)]
        ['512 B', '410 MB', '1.21 GB']
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.0f} B"


def plural(number: int, word: str) -> str:
    """A count with its word.

    Example:
        >>> plural(1, "epoch"), plural(1200, "row")
        ('1 epoch', '1,200 rows')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def model_name(kind: str) -> str:
    """A model's kind as people write it.

    Example:
        >>> model_name("two_tower"), model_name("dlrm")
        ('Two-tower', 'DLRM')
    """
    return NAMES.get(kind, kind.replace("_", " ").capitalize())


NAMES = {
    "bert4rec": "BERT4Rec",
    "bst": "BST",
    "caser": "Caser",
    "constant": "Constant rate",
    "dcn": "DCN",
    "dcn_v2": "DCN-v2",
    "deepfm": "DeepFM",
    "dien": "DIEN",
    "din": "DIN",
    "dlrm": "DLRM",
    "ease": "EASE",
    "fm": "FM",
    "gru4rec": "GRU4Rec",
    "ials": "iALS",
    "item_knn": "Item-kNN",
    "lightgcn": "LightGCN",
    "logistic": "Logistic regression",
    "mf": "Matrix factorisation",
    "mlp": "MLP",
    "mmoe": "MMoE",
    "mult_vae": "Mult-VAE",
    "neumf": "NeuMF",
    "ple": "PLE",
    "popularity": "Popularity",
    "sasrec": "SASRec",
    "two_tower": "Two-tower",
    "wide_deep": "Wide & Deep",
    "xdeepfm": "xDeepFM",
}
