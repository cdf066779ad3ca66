"""Probabilities of sampling by transformers' logits processors, in its own order, apart from the package's code.

    python test/golden/models/sampling_transformers.py

needs transformers and PyTorch; made with transformers 5.24.0 and PyTorch 2.15.0. Presence and frequency penalties, which transformers does not
have, are those of vLLM (vllm/model_executor/layers/utils.py): `logits -= frequency * count + presence * (count > 0)` over generated tokens.
Writes sampling_transformers.json beside this file.
"""

import json
import pathlib

import torch
from transformers.generation import logits_process as lp

PROMPT = [3, 9, 9, 17]
GENERATED = [13, 4, 13, 25, 13]


def processed(logits, *, logitBias=None, repetitionPenalty=None, presencePenalty=0.0, frequencyPenalty=0.0):
    ids = torch.tensor([PROMPT + GENERATED])
    scores = logits[None].clone()
    if logitBias:
        bias = {(int(id),): value for id, value in logitBias.items()}
        scores = lp.SequenceBiasLogitsProcessor(bias)(ids, scores)
    if repetitionPenalty:
        scores = lp.RepetitionPenaltyLogitsProcessor(repetitionPenalty)(ids, scores)
    counts = torch.bincount(torch.tensor(GENERATED), minlength=len(logits)).to(scores.dtype)
    return ids, scores - frequencyPenalty * counts - presencePenalty * (counts > 0)


def warped(ids, scores, *, temperature=1.0, topK=None, topP=None, minP=None, typicalP=None):
    if temperature != 1:
        scores = lp.TemperatureLogitsWarper(temperature)(ids, scores)
    if topK:
        scores = lp.TopKLogitsWarper(topK)(ids, scores)
    if topP:
        scores = lp.TopPLogitsWarper(topP)(ids, scores)
    if minP:
        scores = lp.MinPLogitsWarper(minP)(ids, scores)
    if typicalP:
        scores = lp.TypicalLogitsWarper(typicalP)(ids, scores)
    return scores


PENALTIES = ("logitBias", "repetitionPenalty", "presencePenalty", "frequencyPenalty")
CASES = [
    {"minP": 0.1},
    {"minP": 0.05, "temperature": 1.7},
    {"minP": 1.0},
    {"typicalP": 0.9},
    {"typicalP": 0.2},
    {"typicalP": 0.5, "temperature": 0.7},
    {"topK": 12, "topP": 0.95, "minP": 0.08, "typicalP": 0.6, "temperature": 1.3},
    {"topP": 0.8, "typicalP": 0.5},
    {"repetitionPenalty": 1.3},
    {"repetitionPenalty": 0.8, "minP": 0.02},
    {"presencePenalty": 0.7},
    {"frequencyPenalty": 0.4},
    {"presencePenalty": -0.5, "frequencyPenalty": 0.25, "repetitionPenalty": 1.1},
    {"logitBias": {"9": -100.0, "15": 6.5, "0": 1.0}},
    {"logitBias": {"13": 2.0}, "repetitionPenalty": 1.2, "presencePenalty": 0.3, "frequencyPenalty": 0.1,
     "temperature": 0.8, "topK": 20, "topP": 0.9, "minP": 0.01, "typicalP": 0.95},
]


def main():
    torch.manual_seed(5)
    logits = (torch.randn(40) * 1.2).to(torch.float32).to(torch.float64)
    logits[7] = logits[3]
    cases = []
    for options in CASES:
        penalties = {name: value for name, value in options.items() if name in PENALTIES}
        ids, scores = processed(logits, **penalties)
        rest = {name: value for name, value in options.items() if name not in PENALTIES}
        probabilities = torch.softmax(warped(ids, scores, **rest), dim=-1)[0]
        cases.append({"options": options, "logits": scores[0].tolist(), "probabilities": probabilities.tolist()})
    logprobs = torch.log_softmax(logits, dim=-1).tolist()
    out = {"prompt": PROMPT, "generated": GENERATED, "logits": logits.tolist(), "logprobs": logprobs, "cases": cases}
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(out) + "\n")


main()
