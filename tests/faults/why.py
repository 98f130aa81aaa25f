# SPDX-License-Identifier: Apache-2.0
"""What `baro why` says of a run, against the truth: operation, module, sample, what is to blame."""
from .report import _of, _share
from .score import is_module

# Of the alarm's kinds: the operation that fails (empty: it came from outside), and what is to blame.
OPS = {"exp_overflow": {"exp"}, "log_of_zero": {"log"}, "root_at_zero": {"sqrt"},
       "division_by_zero": {"div"}, "fp16_overflow": {"_to_copy", "to", "half", "mul"},
       "time_zero": {"div"}, "nan_in_data": set(), "inf_in_data": set(), "rank_with_inf": set()}
RIGHT = {
    "data": ("nan_in_data inf_in_data rank_with_inf poisoned_sample bright_picture wrong_labels "
             "label_shuffle class_relabelled nothing_to_learn repeated_batch sorted_by_class "
             "unnormalised_input input_scale_jump blank_pictures two_classes_swapped "
             "labels_unrelated overfitting exp_overflow log_of_zero division_by_zero"),
    "optimiser": ("lr_jump_x100 lr_too_high lr_ramp missing_zero_grad lr_zero weight_decay_huge "
                  "adam_stale_moment adam_eps_large clip_too_tight sign_flip exploding_rnn "
                  "attention_logits embedding_row activation_drift one_wild_step "
                  "transformer_no_warmup discriminator_runs_away frozen_layer fp16_overflow "
                  "projection_grows backward_scaled dead_relu dead_units mode_collapse "
                  "discriminator_wins posterior_collapse"),
    "architecture": ("exp_overflow log_of_zero root_at_zero division_by_zero residual_blowup "
                     "saturated_tanh saturated_sigmoid constant_init vanishing_sigmoid time_zero "
                     "dead_relu dead_units dropout_all posterior_collapse mode_collapse "
                     "discriminator_wins transformer_no_warmup"),
    "precision": "fp16_overflow loss_scale_collapse bf16_weights",
    "bug": ("missing_zero_grad sign_flip detached_encoder not_in_optimizer eval_left_on "
            "eval_in_train_mode ranks_not_synced frozen_positions layer_reset dropout_all "
            "backward_scaled frozen_layer exploding_rnn attention_logits embedding_row "
            "activation_drift projection_grows loss_scale_collapse"),
    "machine": "rank_straggler throughput_drop stall loader_slows",
}


def right_causes(case):
    if getattr(case, "right", None):
        return set(case.right)
    return {cause for cause, names in RIGHT.items() if case.name in names.split()}


def base_of(op):
    """The operation that a backward or in-place one belongs to: "sqrt_backward" is of sqrt."""
    op = (op or "").split(".")[0]
    op = op[:-len("_backward")] if op.endswith("_backward") else op
    return op.rstrip("_") if op.rstrip("_") else op


def score_why(case, known):
    """Judge what why said; None when it was not asked."""
    told = known.get("why")
    if not told:
        return None
    story = next(one for one in told if one["type"] == "story")
    origin = next((one for one in told if one["type"] == "origin"), {})
    suspects = [one for one in told if one["type"] == "suspect"]
    samples = {one["sample"] for one in told if one["type"] == "sample"}
    certain = {one["sample"] for one in told if one["type"] == "sample" and one["is_certain"]}
    found = {"answer": story["answer"], "headline": story["headline"], "cause": story["cause"],
             "sureness": story["sureness"], "op": origin.get("op"),
             "modules": [one["module"] for one in suspects[:3]]}
    if case.group == "healthy":
        return {"answer": story["answer"]}
    truth = known["truth"]
    ops = getattr(case, "ops", OPS.get(case.name))
    if ops is not None:
        names = {base_of(op) for op in ops}
        is_outside = bool(origin.get("is_outside")) or (not origin.get("op") and origin.get(
            "role") in ("input", "weight"))
        found["is_op"] = is_outside if not ops else base_of(origin.get("op")) in names
        found["is_captured"] = story["answer"] == "probe"
    if truth["modules"]:
        places = [i for i, one in enumerate(suspects, 1) if is_module(
            {"module": one["module"], "tensor": one["module"]}, truth["modules"])]
        found["is_first"] = bool(places) and places[0] == 1
        found["is_top3"] = bool(places) and places[0] <= 3
    if truth["sample"] is not None:
        found["is_named"] = truth["sample"] in samples
        found["is_certain"] = truth["sample"] in certain
    causes = right_causes(case)
    if causes:
        found["is_cause"] = story["cause"] in causes
    return found


def line(result):
    """One run, for people."""
    why = result.get("why") or {}

    def mark(key):
        return {None: "-", True: "yes", False: "NO"}[why.get(key)]
    return (f"{result['name']:22} {why.get('answer', '-'):8} op {mark('is_op'):3} "
            f"module {mark('is_first'):3} top3 {mark('is_top3'):3} sample {mark('is_certain'):3} "
            f"cause {mark('is_cause'):3} {why.get('cause', ''):12} "
            f"{why.get('op') or ''} {','.join(why.get('modules', []))[:50]}")


def figures(results):
    faulty = [one["why"] for one in results if one.get("why") and one["group"] != "healthy"]
    healthy = [one["why"] for one in results if one.get("why") and one["group"] == "healthy"]
    out = {"n_faulty": len(faulty), "n_healthy": len(healthy)}
    for key in ("is_op", "is_captured", "is_first", "is_top3", "is_certain", "is_named",
                "is_cause"):
        out[key] = _share(faulty, key)
    return out


def show(found):
    print(f"\nbaro why: {found['n_faulty']} faulty runs")
    print(f"  failing operation     {_of(found['is_op'])}; captured {_of(found['is_captured'])}")
    print(f"  module first          {_of(found['is_first'])}; among three {_of(found['is_top3'])}")
    print(f"  guilty sample named   {_of(found['is_certain'])}; in the batch told "
          f"{_of(found['is_named'])}")
    print(f"  what is to blame      {_of(found['is_cause'])}")
