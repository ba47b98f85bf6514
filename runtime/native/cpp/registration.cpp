// What onnxruntime calls when this library is registered with a session's options.
#include "exported.h"
#include "ort_calls.h"

namespace edgedraft {
namespace {

thread_local bool attention_too = false;

// Operators and their domains live as long as the process: sessions keep pointers to them.
OrtCustomOpDomain* domain_of(const Kernel* kernel) {
  OrtCustomOpDomain* domain;
  check(api.load()->create_domain("com.microsoft", &domain));
  check(api.load()->add_op(domain, new Operator(product_operator(kernel))));
  if (attention_too) check(api.load()->add_op(domain, new Operator(attention_operator(kernel))));
  return domain;
}

}  // namespace
}  // namespace edgedraft

// For sessions that this thread opens: whether attention is ours, too. Who switches it on has looked at the graph.
EDGEDRAFT_EXPORT void edgedraft_prefer_attention(int ours) { edgedraft::attention_too = ours != 0; }

// Registers nothing where EDGEDRAFT_KERNELS is "stock", or where only the portable kernel would run.
EDGEDRAFT_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace edgedraft;
  const OrtApi* offered = base->get_api(kApiVersion);
  if (!offered) return nullptr;  // an older onnxruntime: it has printed so, and keeps its own kernels
  api = offered;
  return guarded([&] {
    if (const Kernel* kernel = chosen_kernel()) check(offered->add_domain(options, domain_of(kernel)));
  });
}
