# SPDX-License-Identifier: Apache-2.0
"""Which kinds rules may be tuned on. Before any rule was tuned, of the names in alphabetical order
every second one was put aside, healthy and faulty ones apart. Their figures have been looked at
since, and what was missed was thought about: they are "seen" now. Before that began, new kinds were
written (second.py), which are "test". A kind that is added to the old files belongs to "tune"."""

SEEN = frozenset((
    "autoencoder", "cnn_norm_dropout", "contrastive", "fine_tune", "gan", "gru_rows",
    "lstm_letters", "mlp_sgd", "recommender", "restart", "two_optimisers", "warmup_cosine",
    "adam_eps_large", "attention_logits", "constant_init", "dead_units", "discriminator_wins",
    "dropout_all", "eval_in_train_mode", "exp_overflow", "fp16_overflow", "inf_in_data",
    "label_shuffle", "loss_scale_collapse", "lr_ramp", "lr_zero", "mode_collapse",
    "not_in_optimizer", "poisoned_sample", "rank_straggler", "repeated_batch", "root_at_zero",
    "saturated_tanh", "sorted_by_class", "throughput_drop", "vanishing_sigmoid", "wrong_labels",
))

QUICK = frozenset(("mlp_adam_tabular", "regression", "vae", "nan_in_data", "lr_jump_x100",
                   "input_scale_jump", "dead_relu", "log_of_zero", "bloom"))


FILES = {"second": "test", "third": "judge", "fourth": "unseen"}


def split_of(case):
    """The half that a case belongs to; published traces are known to all and belong to "tune"."""
    if case.file in FILES:
        return FILES[case.file]
    return "seen" if case.name in SEEN else "tune"
