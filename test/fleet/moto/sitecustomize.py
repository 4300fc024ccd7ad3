"""Put before everything else on PYTHONPATH of moto_server by the tests of the state machine: five things that moto 5.2.5
does otherwise than Step Functions, so that the definition could not be interpreted as it is.

1. Fields of requests and answers are written in PascalCase in a definition, whatever the service's own interface writes
   (https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html). moto has the conversion and does
   not call it: services whose fields begin with a small letter, such as ECS, cannot be called.
2. Every attempt of a task has a token of its own, and the token of one that timed out is refused with TaskTimedOut. In
   moto a repeated task has the token, and the outcome, of the attempt before; tokens that it refuses it answers with 500,
   and those of tasks that it has just begun, too.
3. boto3's default session makes its clients under no lock, and the children of a map make theirs at the same time
   (https://github.com/boto/boto3/issues/801). Here each is made once, which is quicker, too.
4. The cause that SendTaskFailure gives is dropped.
5. An error that ECS answers has the name `ECS.` and its code; in moto it has none that a definition could name.
"""

import threading

import boto3
import botocore
import botocore.session
from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.exceptions import AWSError
from moto.stepfunctions.parser.api import (
    HistoryEventType,
    InvalidToken,
    TaskDoesNotExist,
    TaskFailedEventDetails,
    TaskTimedOut,
)
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs import (
    StateTaskServiceEcs,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackConsumerTimeout
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.core.responses import EmptyResult
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

# 1.
_models = botocore.session.get_session()
_lock = threading.Lock()


def _operation(self, service, action):
    with _lock:
        model = _models.get_service_model(self._get_boto_service_name(service))
    action = self._get_boto_service_action(action)
    name = next(each for each in model.operation_names if botocore.xform_name(each) == action)
    return model.operation_model(name)


def _normalise_parameters(self, parameters, boto_service_name=None, service_action_name=None):
    shape = _operation(self, boto_service_name, service_action_name).input_shape
    if shape is not None:
        self._to_boto_request(parameters, shape)


def _normalise_response(self, response, boto_service_name=None, service_action_name=None):
    shape = _operation(self, boto_service_name, service_action_name).output_shape
    if shape is not None:
        self._from_boto_response(response, shape)


StateTaskService._normalise_parameters = _normalise_parameters
StateTaskService._normalise_response = _normalise_response

# 2.
_evaluate = StateTaskServiceCallback._eval_execution


def _eval_execution(self, env):
    if self.resource.condition != ResourceCondition.WaitForTaskToken:
        return _evaluate(self, env)
    token = env.states.context_object.update_task_token()
    endpoint = env.callback_pool_manager.add(token)
    endpoint.setup_heartbeat_endpoint(heartbeat_seconds=60)
    try:
        return _evaluate(self, env)
    finally:
        endpoint.report(CallbackConsumerTimeout())


StateTaskServiceCallback._eval_execution = _eval_execution


def _refusing(name):
    original = getattr(StepFunctionsParserBackend, name)

    def answered(self, *args, **kwargs):
        try:
            return original(self, *args, **kwargs)
        except (InvalidToken, TaskDoesNotExist, TaskTimedOut) as refusal:
            kind = type(refusal).__name__
            raise type(kind, (AWSError,), {"TYPE": kind, "STATUS": 400})("no task waits for this token") from refusal

    setattr(StepFunctionsParserBackend, name, answered)


for _name in ("send_task_heartbeat", "send_task_success", "send_task_failure"):
    _refusing(_name)

# 3.
_client = boto3.client
_clients = {}


def _one_for_all(*args, **kwargs):
    key = (args, kwargs.get("service_name"), kwargs.get("region_name"), kwargs.get("endpoint_url"))
    with _lock:
        if key not in _clients:
            _clients[key] = _client(*args, **kwargs)
        return _clients[key]


boto3.client = _one_for_all

# 4.


def _send_task_failure(self):
    backend = self.stepfunction_backend
    backend.send_task_failure(self._get_param("taskToken"), error=self._get_param("error"), cause=self._get_param("cause"))
    return EmptyResult()


StepFunctionResponse.send_task_failure = _send_task_failure

# 5.
_from_error = StateTaskServiceEcs._from_error


def _from_ecs_error(self, env, ex):
    if not isinstance(ex, ClientError):
        return _from_error(self, env, ex)
    error = "ECS." + ex.response["Error"]["Code"]
    failed = TaskFailedEventDetails(error=error, cause=str(ex), resource=self._get_sfn_resource(), resourceType="ecs")
    return FailureEvent(
        env=env,
        error_name=CustomErrorName(error),
        event_type=HistoryEventType.TaskFailed,
        event_details=EventDetails(taskFailedEventDetails=failed),
    )


StateTaskServiceEcs._from_error = _from_ecs_error
