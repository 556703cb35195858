"""Optional native kernels: built on first use where there is a compiler, exact, and never needed."""
