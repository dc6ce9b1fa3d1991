"""Training, zero-shot evaluation and timing for a study of English intermediate-task training (Phang et al. 2020)."""
