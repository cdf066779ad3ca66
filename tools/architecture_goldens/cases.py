"""The small models of main.py: each has what its architecture adds, in a form that moves logits (windows shorter than the text)."""

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
# of models whose query and key heads are equally many
PLAIN = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
YARN = {
    **{"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16},
    **{"beta_fast": 4.0, "beta_slow": 1.0},
}
LONG = {
    **{"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75, "original_max_position_embeddings": 16},
    **{"short_factor": [1.0, 1.05, 1.1], "long_factor": [1.0, 1.5, 4.0]},
}

CAPS = {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0}

# name: the class of transformers, its config, whether llama.cpp's converter knows it
CASES = {
    "mistral": ("Mistral", {**SIZES, "head_dim": 12, "sliding_window": 9}, False),
    "mistral_no_window": ("Mistral", {**SIZES, "sliding_window": None}, True),
    "ministral3": ("Ministral3", {**SIZES, "head_dim": 12, "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.3}}, True),
    "qwen3": ("Qwen3", {**SIZES, "head_dim": 12}, True),
    "qwen3_window": ("Qwen3", {**SIZES, "head_dim": 8, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}, False),
    "smollm3": ("SmolLM3", {**SIZES, "hidden_size": 24, "num_hidden_layers": 5, "intermediate_size": 28}, True),
    "granite": (
        "Granite",
        {
            **SIZES,
            **{"embedding_multiplier": 3.0, "attention_multiplier": 0.25, "residual_multiplier": 0.6, "logits_scaling": 1.7},
        },
        True,
    ),
    "phi3": ("Phi3", {**SIZES, "original_max_position_embeddings": 16, "rope_parameters": LONG}, True),
    "phi3_window": ("Phi3", {**SIZES, "sliding_window": 9}, False),
    "phi": ("Phi", {**PLAIN, "intermediate_size": 128, "partial_rotary_factor": 0.5}, True),
    "gemma": ("Gemma", {**SIZES, "num_key_value_heads": 1, "head_dim": 12}, True),
    "gemma2": (
        "Gemma2",
        {
            **{**SIZES, "num_hidden_layers": 3},
            **{"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 9},
            **CAPS,
        },
        True,
    ),
    "gemma3": (
        "Gemma3",
        {
            **SIZES,
            **{"hidden_size": 20, "intermediate_size": 24, "num_hidden_layers": 7, "head_dim": 8, "query_pre_attn_scalar": 8},
            **{"sliding_window": 9},
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0},
            },
        },
        True,
    ),
    "olmo2": ("Olmo2", SIZES, True),
    "olmo3": (
        "Olmo3",
        {
            **{**SIZES, "hidden_size": 24, "num_hidden_layers": 4, "intermediate_size": 28, "sliding_window": 9},
            "rope_parameters": {"full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
        },
        True,
    ),
    "gpt_neox": ("GPTNeoX", {**PLAIN, "intermediate_size": 64, "rotary_pct": 0.5}, True),
    "gpt_neox_in_turn": ("GPTNeoX", {**PLAIN, "intermediate_size": 64, "rotary_pct": 0.25, "use_parallel_residual": False}, True),
    "gpt_neo": (
        "GPTNeo",
        {
            **{"vocab_size": 61, "hidden_size": 24, "num_layers": 4, "num_heads": 4, "intermediate_size": 40},
            **{"max_position_embeddings": 64, "window_size": 9, "attention_types": [[["global", "local"], 2]]},
        },
        False,
    ),
    "opt": ("OPT", {"ffn_dim": 64, **{key: value for key, value in PLAIN.items() if key != "intermediate_size"}}, False),
    "bloom": ("Bloom", {"vocab_size": 61, "hidden_size": 24, "n_layer": 2, "n_head": 4, "seq_length": 64}, True),
    "bloom_six_heads": ("Bloom", {"vocab_size": 61, "hidden_size": 24, "n_layer": 2, "n_head": 6, "seq_length": 64}, True),
    "starcoder2": ("Starcoder2", {**SIZES, "intermediate_size": 64}, True),
    "starcoder2_window": ("Starcoder2", {**SIZES, "intermediate_size": 64, "sliding_window": 9}, False),
    "stablelm": ("StableLm", {**SIZES, "partial_rotary_factor": 0.25, "use_qkv_bias": True}, True),
    "stablelm_parallel": ("StableLm", {**SIZES, "partial_rotary_factor": 0.5, "use_parallel_residual": True}, True),
    "seed_oss": ("SeedOss", {**SIZES, "head_dim": 12}, True),
    # seeds are places in this list: add at the end
    "gemma2_scaled": ("Gemma2", {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 24, "sliding_window": 9, **CAPS}, False),
}
