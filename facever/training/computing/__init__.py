"""How an update is computed: number formats, processes, rows, optimizers, memory."""
