//! The driver against the double. The double is ours: these tests show that the driver keeps to what was recorded, not
//! that a real device does.

use super::double::{AlteonDouble, Behaviour};
use super::*;

const NUMBERS: RealServers = RealServers { master: 1, slave: 2 };

async fn double(behaviour: Behaviour) -> AlteonDouble {
    AlteonDouble::start(behaviour).await.unwrap()
}

fn driver(double: &AlteonDouble, drop_sessions: bool) -> Alteon {
    let password = Secret::new(b"slboper");
    Alteon::new(&double.address().to_string(), Some("oper"), password, NUMBERS, drop_sessions).unwrap()
}

async fn admins(device: &Alteon) -> (Admin, Admin) {
    let view = device.observe().await.unwrap();
    (view.master.admin, view.slave.admin)
}

#[tokio::test]
async fn each_state_is_set_and_read_back_and_the_session_is_given_back() {
    let double = double(Behaviour::default()).await;
    let device = driver(&double, false);
    for (wanted, admin) in [(Wanted::Down, Admin::Down), (Wanted::Drain, Admin::Drain), (Wanted::Up, Admin::Up)] {
        device.set(Role::Slave, wanted, Epoch(1)).await.unwrap();
        assert_eq!(admins(&device).await, (Admin::Up, admin));
        assert_eq!(double.removed(), [] as [u32; 0]);
    }
    let commands: Vec<String> =
        double.commands().into_iter().filter(|command| command.starts_with("/oper/slb/")).collect();
    let current = "/oper/slb/cur";
    assert_eq!(commands, ["/oper/slb/dis 2 n", current, "/oper/slb/dis 2 n", current, "/oper/slb/ena 2", current]);
    assert_eq!(double.commands().iter().filter(|command| *command == "exit").count(), 6, "one way out a session");
    assert!(
        double.commands().iter().all(|command| !command.contains("/cfg") && command != "apply" && command != "save")
    );
}

#[tokio::test]
async fn sessions_are_removed_by_the_two_questions_in_either_order() {
    for questions_reversed in [false, true] {
        let double = double(Behaviour { questions_reversed, ..Behaviour::default() }).await;
        let device = driver(&double, true);
        device.set(Role::Master, Wanted::Down, Epoch(1)).await.unwrap();
        assert_eq!((double.disabled(), double.removed()), (vec![1], vec![1]));
        device.set(Role::Slave, Wanted::Drain, Epoch(1)).await.unwrap();
        assert_eq!((double.disabled(), double.removed()), (vec![1, 2], vec![1]), "who drains keeps its sessions");
    }
}

#[tokio::test]
async fn both_generations_of_login_prompts_names_and_fragments_are_understood() {
    for user in [None, Some("oper".to_owned())] {
        for (piece_bytes, echo) in [(1024, true), (1, true), (3, false)] {
            let behaviour = Behaviour {
                user: user.clone(),
                piece_bytes,
                echo,
                prompt_name: "5412_28.1.11_#1 - Standalone ADC - ".to_owned(),
                login_questions: vec![
                    "NOTICE: The system has important information, display now [yes/no]: ".to_owned(),
                    "Confirm seeing above note [y]: ".to_owned(),
                    "Would you like to run \"Set Up\" to configure the switch? [y/n] ".to_owned(),
                ],
                says_after: "\r\nReal server 1: something that nobody has recorded.".to_owned(),
                unsaved_changes: true,
                ..Behaviour::default()
            };
            let double = double(behaviour).await;
            let device = driver(&double, true);
            device.set(Role::Master, Wanted::Down, Epoch(1)).await.unwrap();
            assert_eq!(admins(&device).await, (Admin::Down, Admin::Up), "{user:?}, pieces of {piece_bytes}");
        }
    }
}

#[tokio::test]
async fn output_is_whole_although_the_device_pages_it() {
    let behaviour = Behaviour { page_lines: 1, pages_always: true, piece_bytes: 7, ..Behaviour::default() };
    let double = double(behaviour).await;
    let device = driver(&double, false);
    device.set(Role::Slave, Wanted::Down, Epoch(1)).await.unwrap();
    assert_eq!(admins(&device).await, (Admin::Up, Admin::Down));
}

#[tokio::test]
async fn the_devices_own_health_check_is_told() {
    let double = double(Behaviour::default()).await;
    let device = driver(&double, false);
    double.set_health(1, false);
    device.set(Role::Slave, Wanted::Down, Epoch(1)).await.unwrap();
    let view = device.observe().await.unwrap();
    assert_eq!((view.master.serving, view.slave.serving), (Some(false), None));
    double.set_health(1, true);
    assert_eq!(device.observe().await.unwrap().master.serving, Some(true));
}

#[tokio::test]
async fn a_reset_device_has_forgotten_and_that_is_seen() {
    let double = double(Behaviour::default()).await;
    let device = driver(&double, false);
    device.set(Role::Slave, Wanted::Down, Epoch(1)).await.unwrap();
    assert_eq!(admins(&device).await, (Admin::Up, Admin::Down));
    double.reset();
    assert_eq!(admins(&device).await, (Admin::Up, Admin::Up));
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_never_shown() {
    for user in [None, Some("oper".to_owned())] {
        let double = double(Behaviour { user, ..Behaviour::default() }).await;
        let address = double.address().to_string();
        let device = Alteon::new(&address, Some("oper"), Secret::new(b"hunter2"), NUMBERS, false).unwrap();
        let error = device.observe().await.unwrap_err();
        assert!(matches!(error, BalancerError::LoginRefused { .. }), "{error:?}");
        assert!(!format!("{error:?} {error} {device:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_question_that_nobody_knows_ends_the_call_and_is_told() {
    let unknown_question = Some("Reboot the peer switch now? ".to_owned());
    let double = double(Behaviour { unknown_question, ..Behaviour::default() }).await;
    let error = driver(&double, true).set(Role::Master, Wanted::Down, Epoch(1)).await.unwrap_err();
    assert!(
        matches!(&error, BalancerError::NotUnderstood { answer, .. } if answer == "Reboot the peer switch now?"),
        "{error:?}"
    );
    assert_eq!(double.disabled(), [] as [u32; 0]);
}

#[tokio::test]
async fn a_question_after_the_password_is_told_without_an_echo_of_it() {
    let login_questions = vec!["slboper is a weak password, keep it? ".to_owned()];
    let double = double(Behaviour { login_questions, ..Behaviour::default() }).await;
    let error = driver(&double, false).observe().await.unwrap_err();
    assert!(
        matches!(&error, BalancerError::NotUnderstood { answer, .. } if answer == "(password) is a weak password, keep it?"),
        "{error:?}"
    );
}

#[tokio::test]
async fn errors_of_the_device_are_errors() {
    for text in ["Error: real server 1 is not configured.", "Try later: switch is busy."] {
        let double = double(Behaviour { error: Some(text.to_owned()), ..Behaviour::default() }).await;
        let error = driver(&double, false).set(Role::Master, Wanted::Up, Epoch(1)).await.unwrap_err();
        assert!(matches!(&error, BalancerError::Refused { answer, .. } if answer == text), "{error:?}");
    }
}

#[tokio::test]
async fn a_device_that_asks_for_a_user_that_nobody_configured_says_what_to_set() {
    let double = double(Behaviour { user: Some("oper".to_owned()), ..Behaviour::default() }).await;
    let device = Alteon::new(&double.address().to_string(), None, Secret::new(b"x"), NUMBERS, false).unwrap();
    let error = device.observe().await.unwrap_err();
    assert!(error.to_string().contains("set `user`"), "{error}");
}

#[tokio::test]
async fn a_server_that_the_device_does_not_list_is_unknown() {
    let double = double(Behaviour::default()).await;
    let numbers = RealServers { master: 1, slave: 12 };
    let device = Alteon::new(&double.address().to_string(), None, Secret::new(b"slboper"), numbers, false).unwrap();
    assert_eq!(admins(&device).await, (Admin::Up, Admin::Unknown));
}

#[test]
fn settings_that_would_break_the_dialogue_are_refused() {
    let new = |user, password: &[u8], slave| {
        Alteon::new("a:23", user, Secret::new(password), RealServers { master: 1, slave }, false).err()
    };
    assert!(matches!(new(Some("a\r\nb"), b"x", 2), Some(BalancerError::Settings(_))));
    assert!(matches!(new(None, b"x\ny", 2), Some(BalancerError::Settings(_))));
    assert!(matches!(new(None, b"x", 1), Some(BalancerError::Settings(_))));
    assert!(new(Some("oper"), b"x", 2).is_none());
}
