// Triton's "onnxruntime" backend for the local server: opens `model.onnx` and runs it with onnxruntime.
//
// The server from PyPI carries no backend for ONNX. With this one a repository that says `backend: "onnxruntime"` loads
// here unchanged, as it does in NVIDIA's image. scripts/setup-triton.sh compiles it against the onnxruntime of the same
// environment. Threads of one run: the environment variable SECONDREAD_TRITON_THREADS; one without it.
//
// Neither package brings its headers, so what is used of the two C interfaces is declared here. Both promise that it
// stays: Triton by the major version of its backend API, which is checked, onnxruntime by only ever adding to the end of
// its table of functions.
//
// Source: https://github.com/triton-inference-server/core/blob/main/include/triton/core/tritonbackend.h and
// https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_c_api.h

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// ---- Triton's backend API ------------------------------------------------------------------------------------------

extern "C" {
struct TRITONSERVER_Error;
struct TRITONBACKEND_Backend;
struct TRITONBACKEND_Model;
struct TRITONBACKEND_ModelInstance;
struct TRITONBACKEND_Request;
struct TRITONBACKEND_Response;
struct TRITONBACKEND_Input;
struct TRITONBACKEND_Output;

using Error = TRITONSERVER_Error*;
constexpr uint32_t API_MAJOR = 1;
constexpr int ERROR_INTERNAL = 1;
constexpr int MEMORY_CPU = 0, MEMORY_GPU = 2;
constexpr uint32_t RELEASE_ALL = 1, RESPONSE_FINAL = 1;

Error TRITONSERVER_ErrorNew(int code, const char* message);
void TRITONSERVER_ErrorDelete(Error error);
const char* TRITONSERVER_ErrorMessage(Error error);
Error TRITONBACKEND_ApiVersion(uint32_t* major, uint32_t* minor);
Error TRITONBACKEND_ModelRepository(TRITONBACKEND_Model*, int* artifact_type, const char** location);
Error TRITONBACKEND_ModelVersion(TRITONBACKEND_Model*, uint64_t* version);
Error TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance*, TRITONBACKEND_Model** model);
Error TRITONBACKEND_ModelInstanceState(TRITONBACKEND_ModelInstance*, void** state);
Error TRITONBACKEND_ModelInstanceSetState(TRITONBACKEND_ModelInstance*, void* state);
Error TRITONBACKEND_RequestInput(TRITONBACKEND_Request*, const char* name, TRITONBACKEND_Input** input);
Error TRITONBACKEND_RequestOutputCount(TRITONBACKEND_Request*, uint32_t* count);
Error TRITONBACKEND_RequestOutputName(TRITONBACKEND_Request*, uint32_t index, const char** name);
Error TRITONBACKEND_RequestRelease(TRITONBACKEND_Request*, uint32_t flags);
Error TRITONBACKEND_InputProperties(TRITONBACKEND_Input*, const char** name, int* datatype, const int64_t** shape,
                                    uint32_t* dimensions, uint64_t* bytes, uint32_t* buffers);
Error TRITONBACKEND_InputBuffer(TRITONBACKEND_Input*, uint32_t index, const void** buffer, uint64_t* bytes,
                                int* memory_type, int64_t* memory_id);
Error TRITONBACKEND_ResponseNew(TRITONBACKEND_Response** response, TRITONBACKEND_Request*);
Error TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response*, TRITONBACKEND_Output** output, const char* name,
                                   int datatype, const int64_t* shape, uint32_t dimensions);
Error TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output*, void** buffer, uint64_t bytes, int* memory_type,
                                 int64_t* memory_id);
Error TRITONBACKEND_ResponseSend(TRITONBACKEND_Response*, uint32_t flags, Error error);
Error TRITONBACKEND_ModelInstanceReportStatistics(TRITONBACKEND_ModelInstance*, TRITONBACKEND_Request*, bool success,
                                                  uint64_t start_ns, uint64_t run_start_ns, uint64_t run_end_ns,
                                                  uint64_t end_ns);
Error TRITONBACKEND_ModelInstanceReportBatchStatistics(TRITONBACKEND_ModelInstance*, uint64_t images, uint64_t start_ns,
                                                       uint64_t run_start_ns, uint64_t run_end_ns, uint64_t end_ns);

// ---- onnxruntime's C API -------------------------------------------------------------------------------------------

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtValue;
struct OrtMemoryInfo;
struct OrtAllocator;
struct OrtTensorTypeAndShapeInfo;

struct OrtApiBase {
  void* const* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};
const OrtApiBase* OrtGetApiBase();
}

namespace {

constexpr uint32_t ORT_API_VERSION = 11;  // has all that is used here
constexpr int ORT_LOGGING_LEVEL_WARNING = 2;

void* const* ort_table = nullptr;  // set when the backend is loaded

// A function of onnxruntime's table, by its place in it.
template <size_t place, typename... Arguments>
struct Function {
  OrtStatus* operator()(Arguments... arguments) const {
    return reinterpret_cast<OrtStatus* (*)(Arguments...)>(ort_table[place])(arguments...);
  }
};
template <size_t place, typename Class>
struct Release {
  void operator()(Class* object) const { reinterpret_cast<void (*)(Class*)>(ort_table[place])(object); }
};

namespace ort {
constexpr size_t GET_ERROR_MESSAGE = 2;
constexpr Function<3, int, const char*, OrtEnv**> CreateEnv;
constexpr Function<7, const OrtEnv*, const char*, const OrtSessionOptions*, OrtSession**> CreateSession;
constexpr Function<9, OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*, size_t,
                   const char* const*, size_t, OrtValue**>
    Run;
constexpr Function<10, OrtSessionOptions**> CreateSessionOptions;
constexpr Function<24, OrtSessionOptions*, int> SetIntraOpNumThreads;
constexpr Function<25, OrtSessionOptions*, int> SetInterOpNumThreads;
constexpr Function<30, const OrtSession*, size_t*> SessionGetInputCount;
constexpr Function<36, const OrtSession*, size_t, OrtAllocator*, char**> SessionGetInputName;
constexpr Function<49, const OrtMemoryInfo*, void*, size_t, const int64_t*, size_t, int, OrtValue**>
    CreateTensorWithDataAsOrtValue;
constexpr Function<51, OrtValue*, void**> GetTensorMutableData;
constexpr Function<60, const OrtTensorTypeAndShapeInfo*, int*> GetTensorElementType;
constexpr Function<61, const OrtTensorTypeAndShapeInfo*, size_t*> GetDimensionsCount;
constexpr Function<62, const OrtTensorTypeAndShapeInfo*, int64_t*, size_t> GetDimensions;
constexpr Function<65, const OrtValue*, OrtTensorTypeAndShapeInfo**> GetTensorTypeAndShape;
constexpr Function<69, int, int, OrtMemoryInfo**> CreateCpuMemoryInfo;
constexpr Function<76, OrtAllocator*, void*> AllocatorFree;
constexpr Function<78, OrtAllocator**> GetAllocatorWithDefaultOptions;
constexpr Function<130, OrtSessionOptions*, const char*, const char*> AddSessionConfigEntry;

using Environment = std::unique_ptr<OrtEnv, Release<92, OrtEnv>>;
using Status = std::unique_ptr<OrtStatus, Release<93, OrtStatus>>;
using MemoryInfo = std::unique_ptr<OrtMemoryInfo, Release<94, OrtMemoryInfo>>;
using Session = std::unique_ptr<OrtSession, Release<95, OrtSession>>;
using Value = std::unique_ptr<OrtValue, Release<96, OrtValue>>;
using TensorInfo = std::unique_ptr<OrtTensorTypeAndShapeInfo, Release<99, OrtTensorTypeAndShapeInfo>>;
using SessionOptions = std::unique_ptr<OrtSessionOptions, Release<100, OrtSessionOptions>>;
}  // namespace ort

// ---- from errors of both to exceptions, and back --------------------------------------------------------------------

void check(OrtStatus* returned) {
  if (!returned) return;
  ort::Status status(returned);
  throw std::runtime_error(
      reinterpret_cast<const char* (*)(const OrtStatus*)>(ort_table[ort::GET_ERROR_MESSAGE])(status.get()));
}

void check(Error error) {
  if (!error) return;
  std::string message = TRITONSERVER_ErrorMessage(error);
  TRITONSERVER_ErrorDelete(error);
  throw std::runtime_error(message);
}

// For what cannot be mended any more.
void ignore(Error error) {
  if (error) TRITONSERVER_ErrorDelete(error);
}

template <typename Work>
Error guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return TRITONSERVER_ErrorNew(ERROR_INTERNAL, error.what());
  }
}

// What `create` writes through its last argument, owned.
template <typename Owner, typename Create, typename... Arguments>
Owner made(const Create& create, Arguments... arguments) {
  typename Owner::pointer object = nullptr;
  check(create(arguments..., &object));
  return Owner(object);
}

uint64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// ---- element types --------------------------------------------------------------------------------------------------

struct ElementType {
  int triton, onnx;
  size_t bytes;
};
constexpr std::array<ElementType, 12> ELEMENT_TYPES{{
    {1, 9, 1},    // BOOL
    {2, 2, 1},    // UINT8
    {3, 4, 2},    // UINT16
    {4, 12, 4},   // UINT32
    {5, 13, 8},   // UINT64
    {6, 3, 1},    // INT8
    {7, 5, 2},    // INT16
    {8, 6, 4},    // INT32
    {9, 7, 8},    // INT64
    {10, 10, 2},  // FP16
    {11, 1, 4},   // FP32
    {12, 11, 8},  // FP64
}};

const ElementType& element_type(int ElementType::* kind, int value) {
  auto found = std::find_if(ELEMENT_TYPES.begin(), ELEMENT_TYPES.end(),
                            [&](const ElementType& each) { return each.*kind == value; });
  if (found == ELEMENT_TYPES.end()) throw std::runtime_error("an element type that this backend does not know");
  return *found;
}

size_t count(const std::vector<int64_t>& shape, size_t from = 0) {
  size_t product = 1;
  for (size_t axis = from; axis < shape.size(); ++axis) product *= shape[axis];
  return product;
}

// ---- a graph and its runs --------------------------------------------------------------------------------------------

// One input of all requests of a batch, joined along the first axis. What came in one piece is not copied.
struct Joined {
  std::vector<int64_t> shape;
  const ElementType* type = nullptr;
  std::vector<int64_t> rows;  // of each request
  std::vector<std::pair<const void*, size_t>> pieces;
  std::vector<char> copied;

  Joined(TRITONBACKEND_Request** requests, uint32_t request_count, const std::string& name) {
    for (uint32_t i = 0; i < request_count; ++i) add(requests[i], name);
  }

  ort::Value value(const OrtMemoryInfo* memory) {
    void* data = const_cast<void*>(pieces.front().first);
    size_t bytes = count(shape) * type->bytes;
    if (pieces.size() > 1) {
      for (auto& [start, length] : pieces)
        copied.insert(copied.end(), static_cast<const char*>(start), static_cast<const char*>(start) + length);
      data = copied.data();
    }
    size_t came = 0;
    for (auto& piece : pieces) came += piece.second;
    if (came != bytes) throw std::runtime_error("an input has other bytes than its shape says");
    return made<ort::Value>(ort::CreateTensorWithDataAsOrtValue, memory, data, bytes,
                            static_cast<const int64_t*>(shape.data()), shape.size(), type->onnx);
  }

 private:
  void add(TRITONBACKEND_Request* request, const std::string& name) {
    TRITONBACKEND_Input* input = nullptr;
    check(TRITONBACKEND_RequestInput(request, name.c_str(), &input));
    int datatype = 0;
    const int64_t* sides = nullptr;
    uint32_t dimensions = 0, buffers = 0;
    check(TRITONBACKEND_InputProperties(input, nullptr, &datatype, &sides, &dimensions, nullptr, &buffers));
    if (rows.empty()) {
      type = &element_type(&ElementType::triton, datatype);
      shape.assign(sides, sides + dimensions);
    } else {
      shape[0] += sides[0];
    }
    rows.push_back(sides[0]);
    for (uint32_t i = 0; i < buffers; ++i) {
      const void* start = nullptr;
      uint64_t length = 0;
      int memory = MEMORY_CPU;
      int64_t memory_id = 0;
      check(TRITONBACKEND_InputBuffer(input, i, &start, &length, &memory, &memory_id));
      if (memory == MEMORY_GPU) throw std::runtime_error("an input lies in a GPU's memory: this backend has none");
      pieces.emplace_back(start, length);
    }
  }
};

std::vector<std::string> requested_outputs(TRITONBACKEND_Request* request) {
  uint32_t number = 0;
  check(TRITONBACKEND_RequestOutputCount(request, &number));
  std::vector<std::string> names;
  for (uint32_t i = 0; i < number; ++i) {
    const char* name = nullptr;
    check(TRITONBACKEND_RequestOutputName(request, i, &name));
    names.emplace_back(name);
  }
  return names;
}

class Graph {
 public:
  explicit Graph(const std::string& path) {
    auto options = made<ort::SessionOptions>(ort::CreateSessionOptions);
    const char* threads = std::getenv("SECONDREAD_TRITON_THREADS");
    check(ort::SetIntraOpNumThreads(options.get(), threads ? std::max(1, std::atoi(threads)) : 1));
    check(ort::SetInterOpNumThreads(options.get(), 1));
    // Threads may spin while they wait for each other; between runs they would take the CPU from whoever prepares the
    // next request.
    check(ort::AddSessionConfigEntry(options.get(), "session.force_spinning_stop", "1"));
    environment_ = made<ort::Environment>(ort::CreateEnv, ORT_LOGGING_LEVEL_WARNING, "secondread");
    session_ = made<ort::Session>(ort::CreateSession, static_cast<const OrtEnv*>(environment_.get()), path.c_str(),
                                  static_cast<const OrtSessionOptions*>(options.get()));
    memory_ = made<ort::MemoryInfo>(ort::CreateCpuMemoryInfo, /* arena */ 1, /* default */ 0);
    OrtAllocator* allocator = nullptr;
    check(ort::GetAllocatorWithDefaultOptions(&allocator));
    size_t number = 0;
    check(ort::SessionGetInputCount(session_.get(), &number));
    for (size_t i = 0; i < number; ++i) {
      char* name = nullptr;
      check(ort::SessionGetInputName(session_.get(), i, allocator, &name));
      inputs_.emplace_back(name);
      check(ort::AllocatorFree(allocator, name));
    }
  }

  // Run the graph once for all requests; their responses are filled, and not yet sent.
  // Returns the number of rows, and when the run began and ended.
  std::array<uint64_t, 3> answer(TRITONBACKEND_Request** requests, std::vector<TRITONBACKEND_Response*>& responses) {
    const auto request_count = static_cast<uint32_t>(responses.size());
    std::vector<Joined> joined;
    std::vector<ort::Value> values;
    std::vector<const OrtValue*> given;
    std::vector<const char*> input_names, output_names;
    for (auto& name : inputs_) joined.emplace_back(requests, request_count, name);
    for (auto& each : joined) values.push_back(each.value(memory_.get()));
    for (auto& value : values) given.push_back(value.get());
    for (auto& name : inputs_) input_names.push_back(name.c_str());

    std::vector<std::vector<std::string>> wanted;
    std::set<std::string> all;
    for (uint32_t i = 0; i < request_count; ++i) {
      wanted.push_back(requested_outputs(requests[i]));
      all.insert(wanted.back().begin(), wanted.back().end());
    }
    for (auto& name : all) output_names.push_back(name.c_str());
    std::vector<OrtValue*> produced(output_names.size(), nullptr);
    uint64_t start = now_ns();
    check(ort::Run(session_.get(), nullptr, input_names.data(), given.data(), given.size(), output_names.data(),
                   output_names.size(), produced.data()));
    uint64_t end = now_ns();
    const auto& rows = joined.front().rows;
    size_t place = 0;
    for (auto& name : all) {
      ort::Value output(produced[place++]);
      hand_out(name, output.get(), rows, wanted, responses);
    }
    return {static_cast<uint64_t>(joined.front().shape[0]), start, end};
  }

 private:
  // Cut one output into the rows of each request that asked for it.
  static void hand_out(const std::string& name, OrtValue* output, const std::vector<int64_t>& rows,
                       const std::vector<std::vector<std::string>>& wanted,
                       std::vector<TRITONBACKEND_Response*>& responses) {
    auto info = made<ort::TensorInfo>(ort::GetTensorTypeAndShape, static_cast<const OrtValue*>(output));
    int kind = 0;
    size_t dimensions = 0;
    char* data = nullptr;
    check(ort::GetTensorElementType(info.get(), &kind));
    check(ort::GetDimensionsCount(info.get(), &dimensions));
    std::vector<int64_t> shape(dimensions);
    check(ort::GetDimensions(info.get(), shape.data(), dimensions));
    check(ort::GetTensorMutableData(output, reinterpret_cast<void**>(&data)));
    const ElementType& type = element_type(&ElementType::onnx, kind);
    const size_t row_bytes = count(shape, 1) * type.bytes;
    for (size_t i = 0; i < rows.size(); data += rows[i++] * row_bytes) {
      if (std::find(wanted[i].begin(), wanted[i].end(), name) == wanted[i].end()) continue;
      shape[0] = rows[i];
      TRITONBACKEND_Output* part = nullptr;
      check(TRITONBACKEND_ResponseOutput(responses[i], &part, name.c_str(), type.triton, shape.data(), dimensions));
      void* buffer = nullptr;
      int memory = MEMORY_CPU;
      int64_t memory_id = 0;
      check(TRITONBACKEND_OutputBuffer(part, &buffer, rows[i] * row_bytes, &memory, &memory_id));
      if (memory == MEMORY_GPU) throw std::runtime_error("an output is wanted in a GPU's memory: this backend has none");
      std::memcpy(buffer, data, rows[i] * row_bytes);
    }
  }

  ort::Environment environment_;
  ort::Session session_;
  ort::MemoryInfo memory_;
  std::vector<std::string> inputs_;
};

}  // namespace

// ---- what Triton calls -----------------------------------------------------------------------------------------------

extern "C" {

Error TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) {
  return guarded([] {
    uint32_t major = 0, minor = 0;
    check(TRITONBACKEND_ApiVersion(&major, &minor));
    if (major != API_MAJOR)
      throw std::runtime_error("this Triton has another backend API: major version " + std::to_string(major));
    ort_table = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!ort_table)
      throw std::runtime_error(std::string("onnxruntime is too old: ") + OrtGetApiBase()->GetVersionString());
  });
}

Error TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([=] {
    TRITONBACKEND_Model* model = nullptr;
    int artifact_type = 0;
    const char* location = nullptr;
    uint64_t version = 0;
    check(TRITONBACKEND_ModelInstanceModel(instance, &model));
    check(TRITONBACKEND_ModelRepository(model, &artifact_type, &location));
    check(TRITONBACKEND_ModelVersion(model, &version));
    auto graph = std::make_unique<Graph>(std::string(location) + "/" + std::to_string(version) + "/model.onnx");
    check(TRITONBACKEND_ModelInstanceSetState(instance, graph.get()));
    graph.release();
  });
}

Error TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([=] {
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceState(instance, &state));
    delete static_cast<Graph*>(state);
  });
}

// Every request is answered, with a failure if need be, and given back; so that the call itself never fails.
Error TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests,
                                         const uint32_t request_count) {
  const uint64_t start = now_ns();
  std::array<uint64_t, 3> run{0, start, start};
  std::vector<TRITONBACKEND_Response*> responses(request_count, nullptr);
  std::string failure;
  try {
    for (uint32_t i = 0; i < request_count; ++i) check(TRITONBACKEND_ResponseNew(&responses[i], requests[i]));
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceState(instance, &state));
    run = static_cast<Graph*>(state)->answer(requests, responses);
  } catch (const std::exception& error) {
    failure = error.what();
    run = {0, start, now_ns()};
  }
  for (uint32_t i = 0; i < request_count; ++i) {
    Error error = failure.empty() ? nullptr : TRITONSERVER_ErrorNew(ERROR_INTERNAL, failure.c_str());
    if (responses[i]) ignore(TRITONBACKEND_ResponseSend(responses[i], RESPONSE_FINAL, error));
    if (error) TRITONSERVER_ErrorDelete(error);
  }
  const uint64_t end = now_ns();
  if (failure.empty())
    ignore(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, run[0], start, run[1], run[2], end));
  for (uint32_t i = 0; i < request_count; ++i) {
    ignore(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], failure.empty(), start, run[1], run[2],
                                                       end));
    ignore(TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL));
  }
  return nullptr;
}

}  // extern "C"
