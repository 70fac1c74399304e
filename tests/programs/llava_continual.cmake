# A dry run and a run of two steps on a tiny LLaVA and a tiny CoIN, going on from snapshots, and runs
# that must be refused.
# usage: cmake -DPROGRAM=<llava_continual> -DFOLDER=<scratch> -DGOLDEN=<tests/golden> -P <this file>
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${FOLDER})

# Two tasks of CoIN on three pictures. One question is longer than the model's positions: its answer
# is lost.
file(COPY ${GOLDEN}/clip_images/ DESTINATION ${FOLDER}/coin)
string(REPEAT "why " 20 long)
function(write_task name answer)
  set(train)
  foreach(picture question IN ZIP_LISTS pictures questions)
    string(APPEND train "{\"id\": \"${name}-${picture}\", \"image\": \"${picture}.png\",
 \"conversations\": [{\"from\": \"human\", \"value\": \"<image>\\n${question}\"},
                   {\"from\": \"gpt\", \"value\": \"${answer}\"}]},\n")
  endforeach()
  string(APPEND train "{\"id\": \"${name}-long\", \"image\": \"strip.png\",
 \"conversations\": [{\"from\": \"human\", \"value\": \"${long}\"},
                   {\"from\": \"gpt\", \"value\": \"${answer}\"}]}")
  set(folder ${FOLDER}/coin/Instructions_Original/${name})
  file(WRITE ${folder}/train.json "[${train}]")
  file(WRITE ${folder}/test.json "[{\"question_id\": \"0\", \"image\": \"strip.png\",
 \"text\": \"what is it?\", \"answer\": \"${answer}\"}]")
endfunction()
set(pictures landscape portrait strip)
set(questions "what is it?" "where?" "who is it?")
write_task(ScienceQA "a")
write_task(GQA "the bird")

function(run)
  execute_process(COMMAND ${PROGRAM} --threads 1 ${ARGN} RESULT_VARIABLE status
                  OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  set(status ${status} PARENT_SCOPE)
  set(output "${output}${errors}" PARENT_SCOPE)
endfunction()

function(expect_status expected)
  if(NOT status EQUAL expected)
    message(FATAL_ERROR "expected status ${expected}, found ${status}\n${output}")
  endif()
endfunction()

function(expect_output)
  foreach(part IN LISTS ARGN)
    string(FIND "${output}" "${part}" place)
    if(place EQUAL -1)
      message(FATAL_ERROR "expected '${part}' in\n${output}")
    endif()
  endforeach()
endfunction()

set(study --data ${FOLDER}/coin --tasks ScienceQA,GQA --conversation plain --rank 4
          --steps 2 --batch 2 --answer-tokens 3 --method LoRA,BranchLoRA)
set(llava --model ${GOLDEN}/models/llava ${study})

# Seven linears of 32, 16 and 56 in two blocks: of LoRA 32 (248 + 240) 2 parameters, of BranchLoRA
# (4 248 + 32 240) 2 and routers of 8 248 2; the projector has 32 (24 + 1) + 32 (32 + 1). A question is
# 16 rows of its picture and its text; the long one is cut at the 64 positions.
run(${llava} --dry-run)
expect_status(0)
expect_output("14 linears, of each of 2 blocks"
              "model.layers.{0..1}.self_attn.q_proj  32 -> 32" "mlp.down_proj  56 -> 32"
              "ScienceQA-long" "1 of 4 samples lose a whole answer"
              "33088: adapter 31232, router 0, projector 1856"
              "23168: adapter 17344, router 3968, projector 1856"
              "of 8 pictures" "2 steps a task")
if(EXISTS ${FOLDER}/out)
  message(FATAL_ERROR "a dry run wrote a folder of results")
endif()

run(${llava} --out ${FOLDER}/out --zero-shot)
expect_status(0)
expect_output("BranchLoRA, task given" "Zero-shot" "1 of 4 samples lose a whole answer")
foreach(file IN ITEMS runs/LoRA-seed-1.json runs/BranchLoRA-seed-1.json
                      runs/BranchLoRA-seed-1-task-given.json snapshots/LoRA-seed-1.safetensors
                      snapshots/BranchLoRA-seed-1.safetensors adapters/LoRA-seed-1.safetensors
                      adapters/BranchLoRA-seed-1.safetensors llava_continual.md)
  if(NOT EXISTS ${FOLDER}/out/${file})
    message(FATAL_ERROR "expected ${file}, found none")
  endif()
endforeach()

# The record counts what the dry run foretold, and the router of a second task.
foreach(expected IN ITEMS "LoRA 33088" "BranchLoRA 27136")
  string(REPLACE " " ";" expected "${expected}")
  list(POP_FRONT expected method)
  file(READ ${FOLDER}/out/runs/${method}-seed-1.json record)
  string(JSON trainable GET "${record}" trainable_parameters)
  if(NOT trainable EQUAL expected)
    message(FATAL_ERROR "${method}: expected ${expected} trainable parameters, found ${trainable}")
  endif()
endforeach()

# A finished run goes on from its snapshots: nothing is trained, and the adapters are the same.
foreach(method IN ITEMS LoRA BranchLoRA)
  file(SHA256 ${FOLDER}/out/adapters/${method}-seed-1.safetensors ${method})
endforeach()
run(${llava} --out ${FOLDER}/out --resume)
expect_status(0)
foreach(method IN ITEMS LoRA BranchLoRA)
  file(SHA256 ${FOLDER}/out/adapters/${method}-seed-1.safetensors again)
  if(NOT again STREQUAL ${method})
    message(FATAL_ERROR "${method}: other adapters after --resume")
  endif()
endforeach()

run(${llava} --method Lora)
expect_status(1)
expect_output("--method: expected LoRA, rsLoRA" "found 'Lora'")
run(--model ${GOLDEN}/models/llama-tied ${study} --out ${FOLDER}/text)
expect_status(1)
expect_output("without pictures" "landscape.png")
