#pragma once

/// Whether a tensor that is written is read again, and damage is refused with a sentence.
bool ordinary_code_works();
