//! What the operator decides: defaults, one file, the environment. Unknown keys are refused.
