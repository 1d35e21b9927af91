"""Arguments of the Trainer that Lightning itself dropped on the way to 2.0, and what to write instead.

It must not know the Trainer, nor who asks: an error message, or the command that brings old programs here.
"""

OLD_ARGUMENTS = {
    "amp_backend": "Choose the numerics by `precision`.",
    "amp_level": "Choose the numerics by `precision`.",
    "auto_lr_find": "Use `Tuner(trainer).lr_find(model)`.",
    "auto_scale_batch_size": "Use `Tuner(trainer).scale_batch_size(model)`.",
    "auto_select_gpus": "Leave it out.",
    "checkpoint_callback": "It is called `enable_checkpointing`.",
    "distributed_backend": "It is called `strategy`.",
    "flush_logs_every_n_steps": "It is an argument of the logger.",
    "gpus": 'Write `accelerator="gpu", devices=…`.',
    "ipus": "IPUs are not supported.",
    "log_gpu_memory": "Add the callback DeviceStatsMonitor.",
    "move_metrics_to_cpu": "Leave it out.",
    "multiple_trainloader_mode": "Pass a CombinedLoader with that mode.",
    "num_processes": 'Write `accelerator="cpu", devices=…`.',
    "prepare_data_per_node": "It is an attribute of the module or the datamodule.",
    "process_position": "It is an argument of TQDMProgressBar.",
    "progress_bar_refresh_rate": "Add TQDMProgressBar(refresh_rate=…).",
    "reload_dataloaders_every_epoch": "It is called `reload_dataloaders_every_n_epochs`.",
    "replace_sampler_ddp": "It is called `use_distributed_sampler`.",
    "resume_from_checkpoint": "Pass `ckpt_path` to `fit`.",
    "stochastic_weight_avg": "Add the callback StochasticWeightAveraging.",
    "terminate_on_nan": "It is called `detect_anomaly`.",
    "tpu_cores": "TPUs are not supported.",
    "track_grad_norm": "Log `grad_norm(self, 2)` in `on_before_optimizer_step`.",
    "truncated_bptt_steps": "Cut the sequence up in `training_step`, with manual optimization.",
    "weights_save_path": "It is called `default_root_dir`.",
    "weights_summary": "It is called `enable_model_summary`; add ModelSummary(max_depth=…).",
}
