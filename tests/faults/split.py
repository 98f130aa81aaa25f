# SPDX-License-Identifier: Apache-2.0
"""Which kinds rules may be tuned on. The test half was fixed before any rule was tuned: of the
names in alphabetical order every second one, healthy and faulty ones apart. A kind that is added
later belongs to "tune"; this list only ever shrinks by kinds that no longer exist."""

TEST = frozenset((
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


def split_of(case):
    """The half that a case belongs to; published traces are known to all and belong to "tune"."""
    return "test" if case.name in TEST else "tune"
