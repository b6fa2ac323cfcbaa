"""FuxiCTR's other models on the peers' rows: those that their script `bench_fuxictr.py` does not assemble.

    GYRFALCON_PEERS=DIR python3 fuxictr_more.py LR|FM|WideDeep|DCN|xDeepFM

Its wheel ships layers, not these models. Settings are those of the peers' script, whose prepared rows are read: batch
4096, embeddings of 16, numbers as vectors, 400 x 3, Adam 1e-3, one epoch. It runs in the peers' environment and knows
nothing of this repository. Prints one line of JSON.
"""

# ruff: noqa: E402 - the environment is entered before anything of it is imported

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, os.environ["GYRFALCON_PEERS"])
import _peer

_peer.use_venv("fuxictr")

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import (
    CompressedInteractionNet,
    CrossNet,
    FactorizationMachine,
    FeatureEmbedding,
    LogisticRegression,
    MLP_Block,
)
from fuxictr.pytorch.models import BaseModel
from fuxictr.pytorch.torch_utils import seed_everything

BATCH, WIDTH, DEEP, CROSS, MAPS = 4096, 16, [400] * 3, 3, [64, 64]
NAME = sys.argv[1]
ROOT = Path(_peer.WORK) / "fuxictr"
if not (ROOT / "criteo" / "feature_map.json").exists():
    sys.exit("its rows are not prepared yet: run bench_fuxictr.py first")


class Model(BaseModel):
    """One of the models, with the times of its steps."""

    def __init__(self, features):
        super().__init__(
            features,
            model_id=NAME,
            gpu=-1,
            task="binary_classification",
            metrics=["AUC", "logloss"],
            monitor="AUC",
            verbose=0,
            model_root=f"{ROOT}/ckpt/",
        )
        (ROOT / "ckpt" / "criteo").mkdir(parents=True, exist_ok=True)
        width = features.sum_emb_out_dim()
        self.stamps, self.judging, self.began = [], 0.0, 0.0
        self.linear = LogisticRegression(features) if NAME in {"LR", "WideDeep", "xDeepFM"} else None
        self.pairs = FactorizationMachine(features) if NAME == "FM" else None
        self.table = FeatureEmbedding(features, WIDTH) if NAME != "LR" else None
        deep = NAME in {"WideDeep", "xDeepFM", "DCN"}
        out = None if NAME == "DCN" else 1
        self.deep = MLP_Block(width, output_dim=out, hidden_units=DEEP, hidden_activations="ReLU") if deep else None
        self.cross = CrossNet(width, CROSS) if NAME == "DCN" else None
        self.top = torch.nn.Linear(width + DEEP[-1], 1) if NAME == "DCN" else None
        self.maps = CompressedInteractionNet(width // WIDTH, MAPS) if NAME == "xDeepFM" else None
        self.compile("adam", "binary_crossentropy", 1e-3)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs):
        """The sum of the parts that the model has."""
        rows = self.get_inputs(inputs)
        parts = [] if self.linear is None else [self.linear(rows)]
        if self.table is not None:
            vectors = self.table(rows)
            flat = vectors.flatten(start_dim=1)
            if self.pairs is not None:
                parts.append(self.pairs(rows, vectors))
            if self.maps is not None:
                parts.append(self.maps(vectors))
            if self.cross is not None:
                parts.append(self.top(torch.cat([self.cross(flat), self.deep(flat)], -1)))
            elif self.deep is not None:
                parts.append(self.deep(flat))
        return {"y_pred": self.output_activation(sum(parts))}

    def train_step(self, batch):
        """A step, and when it was done."""
        loss = super().train_step(batch)
        self.stamps.append(time.time())
        return loss

    def eval_step(self):
        """Judge, and count the time."""
        started = time.time()
        super().eval_step()
        self.judging += time.time() - started

    def train_epoch(self, data):
        """An epoch and its time without judging."""
        self.began = time.time()
        super().train_epoch(data)
        self.took = time.time() - self.began - self.judging

    def evaluate(self, data, metrics=None):
        """Keep the figures."""
        self.found = super().evaluate(data, metrics=["AUC", "logloss"])
        return self.found


features = FeatureMap("criteo", f"{ROOT}/criteo")
features.load(f"{ROOT}/criteo/feature_map.json", {"embedding_dim": WIDTH})
seed_everything(2026)
model = Model(features)
files = {"train_data": f"{ROOT}/criteo/train.parquet", "valid_data": f"{ROOT}/criteo/valid.parquet"}
learn, judge = RankDataLoader(
    features, stage="train", batch_size=BATCH, shuffle=True, data_format="parquet", num_workers=1, **files
)
model.fit(learn, epochs=1, validation_data=judge)
rows, stamps = learn.num_samples, model.stamps
import ray

ray.shutdown()
steady = (len(stamps) - 21) * BATCH / (stamps[-2] - stamps[20]) if len(stamps) > 30 else None
_peer.result(
    bench="ctr_train",
    peer="fuxictr",
    version="2.3.10",
    model=NAME,
    rows=rows,
    steps=len(stamps),
    params=sum(one.numel() for one in model.parameters()),
    train_s=model.took,
    samples_per_s=rows / model.took,
    steady_samples_per_s=steady,
    valid_auc=float(model.found["AUC"]),
    valid_logloss=float(model.found["logloss"]),
)
