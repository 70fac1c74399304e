/// Scores a checkpoint of a run, or the base model alone, on data folders of MiniCoIN's form:
///
///     evaluate --checkpoint results/snapshots/MoELoRA-seed-1.safetensors --data data/minicoin/0*
///     evaluate --checkpoint ... --data my-questions --split spring --predictions answers.jsonl
///     evaluate --data data/minicoin/04-gqa
///
/// A folder holds FOLDER/SPLIT.json and the pictures that it names. What the checkpoint holds (its
/// variant, its tasks, its factor alpha) is read from it; where routers are per task, the selector
/// picks one for each question unless `--task` names it.
#include "ladder.hpp"

int main(int argc, char** argv) { return study::evaluate(argc, argv, ladder::rows()); }
